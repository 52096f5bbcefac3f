-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STORE-10, STORE-11, STORE-13, STATE-3

-- name: place
SELECT j.n, j.state, j.chunks
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: chunks
SELECT
    coalesce(json_agg(json_build_array(number, kind, fence, at_ms, step_key, octet_length(data))), '[]'::json),
    coalesce(string_agg(data, ''::bytea), ''::bytea)
FROM (
    SELECT
        number, kind, fence, at_ms, step_key, data,
        sum(octet_length(data)) OVER (ORDER BY number) - octet_length(data) AS before
    FROM (
        SELECT number, kind, fence, at_ms, step_key, data
        FROM aiq_chunks
        WHERE n = :n::bigint AND number > :after::bigint
        ORDER BY number
        LIMIT :limit::bigint
    ) AS first
) AS page
WHERE before < :bytes::bigint;

-- name: count
SELECT coalesce(json_agg(json_build_array(queue, state, jobs)), '[]'::json)
FROM (
    SELECT queue, state, count(*) AS jobs
    FROM aiq_jobs
    WHERE :queue::text IS NULL OR queue = :queue::text
    GROUP BY queue, state
) AS counted;
