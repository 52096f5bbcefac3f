-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STREAM-15, STORE-10, STORE-11, STORE-13, STATE-3

-- name: place
SELECT j.id, j.n, j.state, j.chunks FROM json_each(:ids) AS asked CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: chunks
SELECT
    json_group_array(json_array(asked.key, c.number, c.kind, c.fence, c.at_ms, c.step_key, length(c.data))),
    CAST(group_concat(CAST(c.data AS TEXT), '') AS BLOB)
FROM json_each(:spans) AS asked
CROSS JOIN aiq_chunks AS c ON c.n = json_extract(asked.value, '$[0]')
    AND c.number > json_extract(asked.value, '$[1]') AND c.number <= json_extract(asked.value, '$[2]');

-- name: earliest
SELECT json_group_array(json_array(
    asked.key,
    (
        SELECT min(number) FROM aiq_chunks
        WHERE n = json_extract(asked.value, '$[0]') AND number > json_extract(asked.value, '$[1]')
    )
))
FROM json_each(:spans) AS asked;

-- name: count
SELECT json_group_array(json_array(queue, state, jobs))
FROM (SELECT queue, state, count(*) AS jobs FROM aiq_jobs WHERE :queue IS NULL OR queue = :queue GROUP BY queue, state);
