-- fan_in: edges between jobs, the waits that count them, and the outbox of what did not fit into a step.
-- spec: FAN-1, FAN-2, FAN-3, FAN-7, FLOW-12, FLOW-13

-- name: open_edges
SELECT dependent, wait_key, dependent_id
FROM aiq_edges
WHERE upstream = :n AND ended = 0
ORDER BY dependent_id, wait_key
LIMIT :limit;

-- name: flip
UPDATE aiq_edges SET ended = :ended, succeeded = :succeeded
WHERE dependent = :dependent AND wait_key = :wait_key AND upstream = :upstream;

-- name: count_ended
UPDATE aiq_waits SET
    succeeded = succeeded + :succeeded,
    failed = failed + 1 - :succeeded,
    first_failed = CASE WHEN :succeeded THEN first_failed ELSE coalesce(first_failed, :upstream_id) END
WHERE n = :n AND wait_key = :wait_key
RETURNING total, succeeded, failed, need, rest, first_failed;

-- name: wait
SELECT total, succeeded, failed, need, rest, first_failed
FROM aiq_waits
WHERE n = :n AND wait_key = :wait_key;

-- name: pending
UPDATE aiq_jobs SET pending = :pending WHERE n = :n;

-- name: winners
SELECT j.id
FROM aiq_edges AS e
JOIN aiq_jobs AS j ON j.n = e.upstream
WHERE e.dependent = :n AND e.wait_key = :wait_key AND e.succeeded = 1
ORDER BY e.ended
LIMIT :limit;

-- name: living_child
SELECT 1 FROM aiq_jobs
WHERE parent_id = :parent_id AND state NOT IN ('succeeded', 'dead', 'cancelled')
LIMIT 1;

-- name: send_out
INSERT INTO aiq_outbox (kind, n, wait_key) VALUES (:kind, :n, :wait_key);
