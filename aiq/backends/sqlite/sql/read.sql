-- read: look without changing: jobs, their streams, and how many there are.
-- spec: STREAM-9, STORE-8, STORE-10, STORE-11, STORE-13, STATE-3, DEAD-9

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

-- name: page_of_group
-- The same, of those that stand in a group of dead jobs.
SELECT json_group_array(n)
FROM (
    SELECT d.n
    FROM aiq_deaths AS d
    CROSS JOIN aiq_jobs AS j ON j.n = d.n
    WHERE d.fingerprint = :fingerprint AND d.n > :after
        AND (:queue IS NULL OR j.queue = :queue)
        AND (:task IS NULL OR j.task = :task)
        AND (:flow IS NULL OR j.flow = :flow)
        AND (:parent_id IS NULL OR j.parent_id = :parent_id)
        AND (:states IS NULL OR j.state IN (SELECT value FROM json_each(:states)))
    ORDER BY d.n
    LIMIT :limit
);

-- name: sizes
-- What jobs take of a page.
SELECT json_group_array(json_array(s.n, length(s.payload) + coalesce(length(r.result), 0)))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_specs AS s ON s.n = asked.value
LEFT JOIN aiq_results AS r ON r.n = s.n;

-- name: count
SELECT json_group_array(json_array(queue, state, jobs))
FROM (SELECT queue, state, count(*) AS jobs FROM aiq_jobs WHERE :queue IS NULL OR queue = :queue GROUP BY queue, state);
