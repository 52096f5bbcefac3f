-- gone: jobs that have ended go, with everything that belongs to them; their ids are remembered.
-- spec: GONE-1, GONE-2, GONE-4, GONE-5, GONE-6, GONE-7

-- name: may_go
-- Those that have ended, that nobody needs, whose children have ended, and of which nothing is left to be done.
SELECT json_group_array(json_array(j.n, length(s.payload) + coalesce(length(r.result), 0)))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
JOIN aiq_specs AS s ON s.n = j.n
LEFT JOIN aiq_results AS r ON r.n = j.n
WHERE j.finished_at_ms IS NOT NULL
    AND NOT (j.dependents <> 0 AND EXISTS (
        SELECT 1
        FROM aiq_edges AS e INDEXED BY aiq_edges_upstream
        CROSS JOIN aiq_jobs AS d ON d.n = e.dependent
        WHERE e.upstream = j.n AND d.state <> 'succeeded'
    ))
    AND NOT (j.children = 1 AND EXISTS (
        SELECT 1 FROM aiq_jobs AS c
        WHERE c.parent_id = j.id AND c.state NOT IN ('succeeded', 'dead', 'cancelled')
    ))
    AND NOT EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.n = j.n);

-- name: own
-- Their ids, and whether they have errors, terms, a key.
SELECT json_group_array(json_array(j.id, j.errors > 0, j.gated, j.order_key IS NOT NULL))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value;

-- name: entomb
INSERT INTO aiq_tombstones (n, id, digest, state, task, queue, until_ms)
SELECT j.n, j.id, s.digest, j.state, j.task, j.queue, :until_ms
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
JOIN aiq_specs AS s ON s.n = j.n;

-- name: leave
-- Of those that have more than the few rows which go with them.
INSERT INTO aiq_remains (n, job_id, parent_id, flow, due_ms)
SELECT j.n, j.id, j.parent_id, j.flow, :now_ms
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
WHERE j.chunks > 0 OR j.steps > 0 OR j.gated = 1 OR j.dependents <> 0 OR j.children = 1 OR j.parent_id IS NOT NULL
    OR j.flow IS NOT NULL OR EXISTS (SELECT 1 FROM aiq_waits AS w WHERE w.n = j.n)
    OR EXISTS (SELECT 1 FROM aiq_signals AS s WHERE s.n = j.n)
    OR EXISTS (SELECT 1 FROM aiq_usage AS u WHERE u.scope = 'job' AND u.owner = j.id)
    OR EXISTS (SELECT 1 FROM aiq_reservations AS r WHERE r.job_id = j.id)
ORDER BY asked.key;

-- name: forget_errors
DELETE FROM aiq_errors WHERE n IN (SELECT value FROM json_each(:ns));

-- name: forget_results
DELETE FROM aiq_results WHERE n IN (SELECT value FROM json_each(:ns));

-- name: forget_terms
DELETE FROM aiq_terms WHERE n IN (SELECT value FROM json_each(:ns));

-- name: forget_keyed
DELETE FROM aiq_keyed WHERE n IN (SELECT value FROM json_each(:ns));

-- name: forget_specs
DELETE FROM aiq_specs WHERE n IN (SELECT value FROM json_each(:ns));

-- name: forget_jobs
DELETE FROM aiq_jobs WHERE n IN (SELECT value FROM json_each(:ns));

-- name: due
-- Whose remains are looked at, in the order in which they went.
SELECT json_group_array(json_array(due_ms, number, n, job_id, parent_id, flow))
FROM (
    SELECT due_ms, number, n, job_id, parent_id, flow FROM aiq_remains
    WHERE due_ms <= :now_ms
    ORDER BY due_ms, number
    LIMIT :limit
);

-- name: anything_due
SELECT EXISTS (SELECT 1 FROM aiq_remains WHERE due_ms <= :now_ms);

-- name: children
SELECT json_group_array(json_array(asked.key, c.n))
FROM json_each(:ids) AS asked
CROSS JOIN aiq_jobs AS c ON c.parent_id = asked.value;

-- name: chunks_left
-- Rows that may be long, with their bytes: how many go is decided by both.
SELECT json_group_array(json_array(change, size))
FROM (
    SELECT c.change, length(c.data) AS size
    FROM json_each(:ns) AS asked CROSS JOIN aiq_chunks AS c ON c.n = asked.value
    LIMIT :room
);

-- name: forget_chunks
DELETE FROM aiq_chunks WHERE change IN (SELECT value FROM json_each(:places));

-- name: forget_ranges
DELETE FROM aiq_ranges
WHERE (n, first) IN (
    SELECT r.n, r.first FROM json_each(:ns) AS asked CROSS JOIN aiq_ranges AS r ON r.n = asked.value LIMIT :room
);

-- name: steps_left
SELECT json_group_array(json_array(place, size))
FROM (
    SELECT s.rowid AS place, length(s.value) AS size
    FROM json_each(:ns) AS asked CROSS JOIN aiq_steps AS s ON s.n = asked.value
    LIMIT :room
);

-- name: forget_steps
DELETE FROM aiq_steps WHERE rowid IN (SELECT value FROM json_each(:places));

-- name: signals_left
SELECT json_group_array(json_array(number, size))
FROM (
    SELECT s.number, length(s.payload) AS size
    FROM json_each(:ns) AS asked CROSS JOIN aiq_signals AS s ON s.n = asked.value
    LIMIT :room
);

-- name: forget_signals
DELETE FROM aiq_signals WHERE number IN (SELECT value FROM json_each(:places));

-- name: forget_waits
DELETE FROM aiq_waits
WHERE (n, wait_key) IN (
    SELECT w.n, w.wait_key FROM json_each(:ns) AS asked CROSS JOIN aiq_waits AS w ON w.n = asked.value LIMIT :room
);

-- name: forget_edges_in
DELETE FROM aiq_edges
WHERE (dependent, wait_key, upstream) IN (
    SELECT e.dependent, e.wait_key, e.upstream
    FROM json_each(:ns) AS asked CROSS JOIN aiq_edges AS e ON e.dependent = asked.value
    LIMIT :room
);

-- name: forget_edges_out
DELETE FROM aiq_edges
WHERE (dependent, wait_key, upstream) IN (
    SELECT e.dependent, e.wait_key, e.upstream
    FROM json_each(:ns) AS asked CROSS JOIN aiq_edges AS e INDEXED BY aiq_edges_upstream ON e.upstream = asked.value
    LIMIT :room
);

-- name: forget_calls
DELETE FROM aiq_reservations
WHERE (job_id, fence, call) IN (
    SELECT r.job_id, r.fence, r.call
    FROM json_each(:ids) AS asked CROSS JOIN aiq_reservations AS r ON r.job_id = asked.value
    LIMIT :room
);

-- name: without_family
-- The ids among :ids of which no child is stored, or has left anything.
SELECT json_group_array(asked.value)
FROM json_each(:ids) AS asked
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.parent_id = asked.value)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.parent_id = asked.value);

-- name: flows_over
-- The flows among :flows of which no job is stored, or has left anything.
SELECT json_group_array(asked.value)
FROM json_each(:flows) AS asked
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.flow = asked.value)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.flow = asked.value);

-- name: forget_usage
DELETE FROM aiq_usage
WHERE (scope, owner, minute_ms, model, category) IN (
    SELECT u.scope, u.owner, u.minute_ms, u.model, u.category
    FROM json_each(:ids) AS asked CROSS JOIN aiq_usage AS u ON u.scope = :scope AND u.owner = asked.value
    LIMIT :room
);

-- name: budgets
-- Those that jobs or flows brought along, and that no other budget draws from.
SELECT json_group_array(b.id)
FROM json_each(:ids) AS asked
CROSS JOIN aiq_budgets AS b ON b.id = :scope || ':' || asked.value
WHERE NOT EXISTS (SELECT 1 FROM aiq_budgets AS c WHERE c.parent = b.id);

-- name: forget_budgets
DELETE FROM aiq_budgets WHERE id IN (SELECT value FROM json_each(:budgets));

-- name: forget_balances
DELETE FROM aiq_budget_states WHERE budget IN (SELECT value FROM json_each(:budgets));

-- name: forget_grants
DELETE FROM aiq_grants WHERE budget IN (SELECT value FROM json_each(:budgets));

-- name: forget_remains
DELETE FROM aiq_remains WHERE job_id IN (SELECT value FROM json_each(:ids));

-- name: call_parents
-- Their parents are looked at next.
UPDATE aiq_remains SET due_ms = :now_ms WHERE due_ms > :now_ms AND job_id IN (SELECT value FROM json_each(:ids));

-- name: put_off_remains
UPDATE aiq_remains SET due_ms = :until_ms WHERE job_id IN (SELECT value FROM json_each(:ids));
