-- list: jobs in the order of enqueueing, some of them looked at, and those among these that a filter means.
-- spec: STORE-8, STORE-13, STORE-14, STORE-15, DEAD-9

-- name: of_all
SELECT json_group_array(n) FROM (SELECT n FROM aiq_jobs WHERE n > :after ORDER BY n LIMIT :count);

-- name: of_flow
-- The same, found by the flow: a flow is small where a storage is large.
SELECT json_group_array(n)
FROM (SELECT n FROM aiq_jobs WHERE flow = :flow AND n > :after ORDER BY n LIMIT :count);

-- name: of_parent
SELECT json_group_array(n)
FROM (SELECT n FROM aiq_jobs WHERE parent_id = :parent_id AND n > :after ORDER BY n LIMIT :count);

-- name: of_tenant
SELECT json_group_array(n)
FROM (SELECT n FROM aiq_jobs WHERE tenant = :tenant AND tenant <> '' AND n > :after ORDER BY n LIMIT :count);

-- name: of_group
-- Those that stand in a group of dead jobs.
SELECT json_group_array(n)
FROM (SELECT n FROM aiq_deaths WHERE fingerprint = :fingerprint AND n > :after ORDER BY n LIMIT :count);

-- name: of_the_dead
-- The dead are few where jobs are many, and have a table of their own.
SELECT json_group_array(n) FROM (SELECT n FROM aiq_deaths WHERE n > :after ORDER BY n LIMIT :count);

-- name: of_the_running
-- No more run than there are slots, so that they can be sorted.
SELECT json_group_array(n)
FROM (
    SELECT n FROM aiq_jobs
    WHERE state = 'running' AND expires_at_ms > 0 AND +n > :after
    ORDER BY +n
    LIMIT :count
);

-- name: matching
-- A part of the filter that is NULL lets everything pass.
SELECT json_group_array(j.n)
FROM json_each(:ns) AS looked
CROSS JOIN aiq_jobs AS j ON j.n = looked.value
WHERE (:queue IS NULL OR j.queue = :queue)
    AND (:task IS NULL OR j.task = :task)
    AND (:flow IS NULL OR j.flow = :flow)
    AND (:parent_id IS NULL OR j.parent_id = :parent_id)
    AND (:tenant IS NULL OR j.tenant = :tenant)
    AND (:states IS NULL OR j.state IN (SELECT value FROM json_each(:states)))
    AND (:created_since IS NULL OR j.created_at_ms >= :created_since)
    AND (:created_until IS NULL OR j.created_at_ms < :created_until)
    AND (:ended_since IS NULL OR j.finished_at_ms >= :ended_since)
    AND (:ended_until IS NULL OR j.finished_at_ms < :ended_until)
    AND (:due_since IS NULL OR j.due_ms >= :due_since)
    AND (:due_until IS NULL OR j.due_ms < :due_until)
    AND (
        :fingerprint IS NULL
        OR EXISTS (SELECT 1 FROM aiq_deaths AS d WHERE d.n = j.n AND d.fingerprint = :fingerprint)
    );

-- name: sizes
-- What jobs take of a page.
SELECT json_group_array(json_array(s.n, length(s.payload) + coalesce(length(r.result), 0)))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_specs AS s ON s.n = asked.value
LEFT JOIN aiq_results AS r ON r.n = s.n;
