-- list: jobs in the order of enqueueing, some of them looked at, and those among these that a filter means.
-- spec: STORE-8, STORE-13, STORE-14, STORE-15, DEAD-9

-- name: of_all
SELECT coalesce(json_agg(n), '[]'::json)
FROM (SELECT n FROM aiq_jobs WHERE n > :after ORDER BY n LIMIT :count) AS seen;

-- name: of_flow
-- The same, found by the flow: a flow is small where a storage is large.
SELECT coalesce(json_agg(n), '[]'::json)
FROM (SELECT n FROM aiq_jobs WHERE flow = :flow AND n > :after ORDER BY n LIMIT :count) AS seen;

-- name: of_parent
SELECT coalesce(json_agg(n), '[]'::json)
FROM (SELECT n FROM aiq_jobs WHERE parent_id = :parent_id AND n > :after ORDER BY n LIMIT :count) AS seen;

-- name: of_tenant
SELECT coalesce(json_agg(n), '[]'::json)
FROM (
    SELECT n FROM aiq_jobs WHERE tenant = :tenant AND tenant <> '' AND n > :after ORDER BY n LIMIT :count
) AS seen;

-- name: of_group
-- Those that stand in a group of dead jobs.
SELECT coalesce(json_agg(n), '[]'::json)
FROM (SELECT n FROM aiq_deaths WHERE fingerprint = :fingerprint AND n > :after ORDER BY n LIMIT :count) AS seen;

-- name: of_the_dead
-- The dead are few where jobs are many, and have a table of their own.
SELECT coalesce(json_agg(n), '[]'::json)
FROM (SELECT n FROM aiq_deaths WHERE n > :after ORDER BY n LIMIT :count) AS seen;

-- name: of_the_running
-- No more run than there are slots, so that they can be sorted.
SELECT coalesce(json_agg(n), '[]'::json)
FROM (
    SELECT n FROM aiq_jobs
    WHERE state = 'running' AND expires_at_ms > 0 AND +n > :after
    ORDER BY +n
    LIMIT :count
) AS seen;

-- name: matching
-- A part of the filter that is NULL lets everything pass.
SELECT coalesce(json_agg(j.n), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS looked(n)
JOIN aiq_jobs AS j ON j.n = looked.n::bigint
WHERE (:queue::text IS NULL OR j.queue = :queue::text)
    AND (:task::text IS NULL OR j.task = :task::text)
    AND (:flow::text IS NULL OR j.flow = :flow::text)
    AND (:parent_id::text IS NULL OR j.parent_id = :parent_id::text)
    AND (:tenant::text IS NULL OR j.tenant = :tenant::text)
    AND (:states::jsonb IS NULL OR j.state IN (SELECT jsonb_array_elements_text(:states::jsonb)))
    AND (:created_since::bigint IS NULL OR j.created_at_ms >= :created_since::bigint)
    AND (:created_until::bigint IS NULL OR j.created_at_ms < :created_until::bigint)
    AND (:ended_since::bigint IS NULL OR j.finished_at_ms >= :ended_since::bigint)
    AND (:ended_until::bigint IS NULL OR j.finished_at_ms < :ended_until::bigint)
    AND (:due_since::bigint IS NULL OR j.due_ms >= :due_since::bigint)
    AND (:due_until::bigint IS NULL OR j.due_ms < :due_until::bigint)
    AND (
        :fingerprint::text IS NULL
        OR EXISTS (SELECT 1 FROM aiq_deaths AS d WHERE d.n = j.n AND d.fingerprint = :fingerprint::text)
    );

-- name: sizes
-- What jobs take of a page.
SELECT coalesce(
    json_agg(json_build_array(s.n, octet_length(s.payload) + coalesce(octet_length(r.result), 0))), '[]'::json
)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(n)
JOIN aiq_specs AS s ON s.n = asked.n::bigint
LEFT JOIN aiq_results AS r ON r.n = s.n;
