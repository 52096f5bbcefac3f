-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STORE-10, STORE-11, STORE-13, STATE-3

-- name: place
SELECT j.n, j.state, j.chunks FROM json_each(:ids) AS asked CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: chunks
SELECT
    json_group_array(json_array(number, kind, fence, at_ms, step_key, length(data))),
    CAST(group_concat(CAST(data AS TEXT), '') AS BLOB)
FROM (
    SELECT number, kind, fence, at_ms, step_key, data, sum(length(data)) OVER (ORDER BY number) - length(data) AS before
    FROM (
        SELECT number, kind, fence, at_ms, step_key, data
        FROM aiq_chunks
        WHERE n = :n AND number > :after
        ORDER BY number
        LIMIT :limit
    )
)
WHERE before < :bytes;

-- name: count
SELECT json_group_array(json_array(queue, state, jobs))
FROM (SELECT queue, state, count(*) AS jobs FROM aiq_jobs WHERE :queue IS NULL OR queue = :queue GROUP BY queue, state);
