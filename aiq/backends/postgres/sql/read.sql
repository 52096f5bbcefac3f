-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STREAM-15, STORE-10, STORE-11, STORE-13, STATE-3

-- name: place
SELECT j.id, j.n, j.state, j.chunks
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: chunks
SELECT
    coalesce(
        json_agg(json_build_array(place - 1, number, kind, fence, at_ms, step_key, octet_length(data))), '[]'::json
    ),
    coalesce(string_agg(data, ''::bytea), ''::bytea)
FROM jsonb_array_elements(:spans::jsonb) WITH ORDINALITY AS asked(item, place)
CROSS JOIN LATERAL (
    SELECT number, kind, fence, at_ms, step_key, data
    FROM aiq_chunks
    WHERE n = (item->>0)::bigint AND number > (item->>1)::bigint AND number <= (item->>2)::bigint
    OFFSET 0
) AS c;

-- name: earliest
SELECT coalesce(json_agg(json_build_array(
    place - 1, (SELECT min(number) FROM aiq_chunks WHERE n = (item->>0)::bigint AND number > (item->>1)::bigint)
)), '[]'::json)
FROM jsonb_array_elements(:spans::jsonb) WITH ORDINALITY AS asked(item, place);

-- name: count
SELECT coalesce(json_agg(json_build_array(queue, state, jobs)), '[]'::json)
FROM (
    SELECT queue, state, count(*) AS jobs
    FROM aiq_jobs
    WHERE :queue::text IS NULL OR queue = :queue::text
    GROUP BY queue, state
) AS counted;
