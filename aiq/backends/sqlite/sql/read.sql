-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STORE-8, STORE-10, STORE-11, STATE-3

-- name: number
SELECT j.n, j.state FROM json_each(:ids) AS asked CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: chunks
SELECT
    json_group_array(json_array(number, kind, fence, at_ms, step_key, length(data))),
    CAST(group_concat(CAST(data AS TEXT), '') AS BLOB)
FROM (
    SELECT number, kind, fence, at_ms, step_key, data
    FROM aiq_chunks
    WHERE n = :n AND number > :after
    ORDER BY number
    LIMIT :limit
);

-- name: page
-- In the order of enqueueing. A filter that is NULL lets everything pass.
SELECT json_group_array(n)
FROM (
    SELECT n FROM aiq_jobs
    WHERE n > :after
        AND (:queue IS NULL OR queue = :queue)
        AND (:task IS NULL OR task = :task)
        AND (:flow IS NULL OR flow = :flow)
        AND (:parent_id IS NULL OR parent_id = :parent_id)
        AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    ORDER BY n
    LIMIT :limit
);

-- name: page_of_flow
-- The same, found by the flow: a flow is small where a storage is large.
SELECT json_group_array(n)
FROM (
    SELECT n FROM aiq_jobs
    WHERE n > :after
        AND (:queue IS NULL OR queue = :queue)
        AND (:task IS NULL OR task = :task)
        AND flow = :flow
        AND (:parent_id IS NULL OR parent_id = :parent_id)
        AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    ORDER BY n
    LIMIT :limit
);

-- name: page_of_parent
-- The same, found by the parent.
SELECT json_group_array(n)
FROM (
    SELECT n FROM aiq_jobs
    WHERE n > :after
        AND (:queue IS NULL OR queue = :queue)
        AND (:task IS NULL OR task = :task)
        AND (:flow IS NULL OR flow = :flow)
        AND parent_id = :parent_id
        AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states)))
    ORDER BY n
    LIMIT :limit
);

-- name: count
SELECT json_group_array(json_array(queue, state, jobs))
FROM (SELECT queue, state, count(*) AS jobs FROM aiq_jobs WHERE :queue IS NULL OR queue = :queue GROUP BY queue, state);
