-- gone: jobs that have ended go, with everything that belongs to them; their ids are remembered.
-- Nothing here may read a whole table, whatever the server knows of it. So rows that go are a list of keys or places to
-- the plan, and what many jobs have is looked up for one after the other: `OFFSET 0` forbids to join it all at once.
-- spec: GONE-1, GONE-2, GONE-4, GONE-5, GONE-6, GONE-7

-- name: may_go
-- Those that have ended, that nobody needs, whose children have ended, and of which nothing is left to be done. A row that
-- somebody holds who is no part of this storage stays until he lets go of it: the others need not wait for that.
SELECT coalesce(
    json_agg(json_build_array(j.n, octet_length(s.payload) + coalesce(octet_length(r.result), 0))), '[]'::json
)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
CROSS JOIN LATERAL (
    SELECT n, id, dependents, children FROM aiq_ended
    WHERE n = asked.value::bigint
    LIMIT 1
    FOR UPDATE SKIP LOCKED
) AS j
JOIN aiq_specs AS s ON s.n = j.n
LEFT JOIN aiq_results AS r ON r.n = j.n
WHERE NOT (j.dependents <> 0 AND EXISTS (
        SELECT 1
        FROM aiq_edges AS e
        JOIN aiq_jobs AS d ON d.n = e.dependent
        WHERE e.upstream = j.n AND d.state <> 'succeeded'
    ))
    AND NOT (j.children = 1 AND EXISTS (
        SELECT 1 FROM aiq_jobs AS c
        WHERE c.parent_id = j.id AND c.state NOT IN ('succeeded', 'dead', 'cancelled')
    ))
    AND NOT EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.n = j.n);

-- name: own
-- Their ids, and whether they have errors, terms, a key.
SELECT coalesce(
    json_agg(json_build_array(j.id, j.errors > 0, j.gated = 1, j.order_key IS NOT NULL)), '[]'::json
)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
JOIN aiq_ended AS j ON j.n = asked.value::bigint;

-- name: entomb
INSERT INTO aiq_tombstones (n, id, digest, state, task, queue, until_ms)
SELECT j.n, j.id, s.digest, j.state, j.task, j.queue, :until_ms::bigint
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
JOIN aiq_ended AS j ON j.n = asked.value::bigint
JOIN aiq_specs AS s ON s.n = j.n;

-- name: leave
-- Of those that have more than the few rows which go with them.
INSERT INTO aiq_remains (n, job_id, parent_id, flow, due_ms)
SELECT j.n, j.id, j.parent_id, j.flow, :now_ms::bigint
FROM jsonb_array_elements_text(:ns::jsonb) WITH ORDINALITY AS asked(value, key)
JOIN aiq_ended AS j ON j.n = asked.value::bigint
WHERE j.chunks > 0 OR j.steps > 0 OR j.gated = 1 OR j.dependents <> 0 OR j.children = 1 OR j.parent_id IS NOT NULL
    OR j.flow IS NOT NULL OR EXISTS (SELECT 1 FROM aiq_waits AS w WHERE w.n = j.n)
    OR EXISTS (SELECT 1 FROM aiq_signals AS s WHERE s.n = j.n)
    OR EXISTS (SELECT 1 FROM aiq_usage AS u WHERE u.scope = 'job' AND u.owner = j.id)
    OR EXISTS (SELECT 1 FROM aiq_reservations AS r WHERE r.job_id = j.id)
ORDER BY asked.key;

-- name: forget_errors
DELETE FROM aiq_errors WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: forget_results
DELETE FROM aiq_results WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: forget_terms
DELETE FROM aiq_terms WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: forget_keyed
DELETE FROM aiq_keyed WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: forget_specs
DELETE FROM aiq_specs WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: forget_jobs
DELETE FROM aiq_ended WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: due
-- Whose remains are looked at, in the order in which they went.
SELECT coalesce(json_agg(json_build_array(due_ms, number, n, job_id, parent_id, flow)), '[]'::json)
FROM (
    SELECT due_ms, number, n, job_id, parent_id, flow FROM aiq_remains
    WHERE due_ms <= :now_ms::bigint
    ORDER BY due_ms, number
    LIMIT :limit::bigint
) AS r;

-- name: anything_due
SELECT (SELECT min(due_ms) FROM aiq_remains) <= :now_ms::bigint;

-- name: children
SELECT coalesce(json_agg(json_build_array(asked.key - 1, c.n)), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) WITH ORDINALITY AS asked(value, key)
CROSS JOIN LATERAL (SELECT n FROM aiq_jobs WHERE parent_id = asked.value OFFSET 0) AS c;

-- name: chunks_left
-- Rows that may be long, with their bytes: how many go is decided by both.
SELECT coalesce(json_agg(json_build_array(change, size)), '[]'::json)
FROM (
    SELECT c.change, octet_length(c.data) AS size
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT change, data FROM aiq_chunks WHERE n = asked.value::bigint OFFSET 0) AS c
    LIMIT :room::bigint
) AS r;

-- name: forget_chunks
DELETE FROM aiq_chunks WHERE change = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:places::jsonb)));

-- name: forget_ranges
DELETE FROM aiq_ranges
WHERE ctid = ANY (ARRAY(
    SELECT r.ctid
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_ranges WHERE n = asked.value::bigint OFFSET 0) AS r
    LIMIT :room::bigint
));

-- name: steps_left
-- The place of a step is its key.
SELECT coalesce(json_agg(json_build_array(json_build_array(n, step_key), size)), '[]'::json)
FROM (
    SELECT s.n, s.step_key, octet_length(s.value) AS size
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT n, step_key, value FROM aiq_steps WHERE n = asked.value::bigint OFFSET 0) AS s
    LIMIT :room::bigint
) AS r;

-- name: forget_steps
DELETE FROM aiq_steps AS s
USING jsonb_array_elements(:places::jsonb) AS given(item)
WHERE s.n = (item->>0)::bigint AND s.step_key = item->>1;

-- name: signals_left
SELECT coalesce(json_agg(json_build_array(number, size)), '[]'::json)
FROM (
    SELECT s.number, octet_length(s.payload) AS size
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT number, payload FROM aiq_signals WHERE n = asked.value::bigint OFFSET 0) AS s
    LIMIT :room::bigint
) AS r;

-- name: forget_signals
DELETE FROM aiq_signals
WHERE number = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:places::jsonb)));

-- name: forget_waits
DELETE FROM aiq_waits
WHERE ctid = ANY (ARRAY(
    SELECT w.ctid
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_waits WHERE n = asked.value::bigint OFFSET 0) AS w
    LIMIT :room::bigint
));

-- name: forget_edges_in
DELETE FROM aiq_edges
WHERE ctid = ANY (ARRAY(
    SELECT e.ctid
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_edges WHERE dependent = asked.value::bigint OFFSET 0) AS e
    LIMIT :room::bigint
));

-- name: forget_edges_out
DELETE FROM aiq_edges
WHERE ctid = ANY (ARRAY(
    SELECT e.ctid
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_edges WHERE upstream = asked.value::bigint OFFSET 0) AS e
    LIMIT :room::bigint
));

-- name: forget_calls
DELETE FROM aiq_reservations
WHERE ctid = ANY (ARRAY(
    SELECT r.ctid
    FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_reservations WHERE job_id = asked.value OFFSET 0) AS r
    LIMIT :room::bigint
));

-- name: without_family
-- The ids among :ids of which no child is stored, or has left anything.
SELECT coalesce(json_agg(asked.value), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.parent_id = asked.value)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.parent_id = asked.value);

-- name: flows_over
-- The flows among :flows of which no job is stored, or has left anything.
SELECT coalesce(json_agg(asked.value), '[]'::json)
FROM jsonb_array_elements_text(:flows::jsonb) AS asked(value)
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.flow = asked.value)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.flow = asked.value);

-- name: forget_usage
-- Any number of rows where :room is -1.
DELETE FROM aiq_usage
WHERE ctid = ANY (ARRAY(
    SELECT u.ctid
    FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT ctid FROM aiq_usage WHERE scope = :scope::text AND owner = asked.value OFFSET 0) AS u
    LIMIT nullif(:room::bigint, -1)
));

-- name: budgets
-- Those that jobs or flows brought along, and that no other budget draws from.
SELECT coalesce(json_agg(b.id), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_budgets AS b ON b.id = :scope::text || ':' || asked.value
WHERE NOT EXISTS (SELECT 1 FROM aiq_budgets AS c WHERE c.parent = b.id);

-- name: forget_budgets
DELETE FROM aiq_budgets WHERE id = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:budgets::jsonb)));

-- name: forget_balances
DELETE FROM aiq_budget_states
WHERE budget = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:budgets::jsonb)));

-- name: forget_grants
DELETE FROM aiq_grants WHERE budget = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:budgets::jsonb)));

-- name: forget_remains
DELETE FROM aiq_remains WHERE job_id = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:ids::jsonb)));

-- name: call_parents
-- Their parents are looked at next.
UPDATE aiq_remains SET due_ms = :now_ms::bigint
WHERE due_ms > :now_ms::bigint
    AND job_id = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:ids::jsonb)));

-- name: put_off_remains
UPDATE aiq_remains SET due_ms = :until_ms::bigint
WHERE job_id = ANY (ARRAY(SELECT value FROM jsonb_array_elements_text(:ids::jsonb)));
