-- enqueue: store new jobs, with what they wait for.
-- spec: ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, FLOW-6, FLOW-8, FAN-5

-- name: standing
SELECT j.id, j.digest, j.state
FROM json_each(:ids) AS asked
CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: job
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, wait_key, pending, task, digest, lease_ms,
    timeout_ms, max_attempts, max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, child_of, on_upstream,
    order_key, unique_key, limits, routes, dependents, events, created_at_ms
) VALUES (
    :n, :id, :state, :queue, :band, :pool, :tenant, :lane, :position, :due_ms, :wait_key, :pending, :task, :digest,
    :lease_ms, :timeout_ms, :max_attempts, :max_stalls, :delay_ms, :at_ms, :deadline_ms, :flow, :parent_id, :child_of,
    :on_upstream, :order_key, :unique_key, :limits, :routes, :dependents, 1, :created_at_ms
);

-- name: payload
INSERT INTO aiq_payloads (n, payload, depends_on, estimate, budget)
VALUES (:n, :payload, :depends_on, :estimate, :budget);

-- name: depend
-- All edges into a new job. Those from jobs that have ended count at once, in the order of the list.
INSERT INTO aiq_edges (dependent, wait_key, upstream, dependent_id, ended, succeeded)
SELECT
    :n, '', j.n, :id,
    CASE WHEN j.state IN ('succeeded', 'dead', 'cancelled')
        THEN row_number() OVER (PARTITION BY j.state IN ('succeeded', 'dead', 'cancelled') ORDER BY asked.key)
        ELSE 0
    END,
    j.state = 'succeeded'
FROM json_each(:upstreams) AS asked
CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: count_dependencies
INSERT INTO aiq_waits (n, wait_key, total, succeeded, failed, first_failed)
SELECT
    :n, '', count(*), sum(e.succeeded), sum(e.ended > 0 AND e.succeeded = 0),
    (
        SELECT j.id FROM aiq_edges AS f JOIN aiq_jobs AS j ON j.n = f.upstream
        WHERE f.dependent = :n AND f.wait_key = '' AND f.ended > 0 AND f.succeeded = 0
        ORDER BY f.ended
        LIMIT 1
    )
FROM aiq_edges AS e
WHERE e.dependent = :n AND e.wait_key = '';

-- name: await_upstreams
UPDATE aiq_jobs SET dependents = 1
WHERE id IN (SELECT value FROM json_each(:upstreams)) AND dependents = 0;

-- name: edge
-- From a new child to the run that spawned it.
INSERT INTO aiq_edges (dependent, wait_key, upstream, dependent_id)
VALUES (:dependent, :child_of, :n, :parent_id);

-- name: count_children
INSERT INTO aiq_waits (n, wait_key, total) VALUES (:n, :wait_key, :count)
ON CONFLICT (n, wait_key) DO UPDATE SET total = total + excluded.total;

-- name: spawned
UPDATE aiq_jobs SET children = 1, events = events + 1 WHERE n = :n;
