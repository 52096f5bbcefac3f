-- gates: where jobs of one line stand aside that one limit by key refuses.
-- spec: LIMIT-16, CALL-13

-- name: find
SELECT wake_at_ms FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part;

-- name: shut
INSERT INTO aiq_gates (queue, pool, band, tenant, name, part, wake_at_ms)
VALUES (:queue, :pool, :band, :tenant, :name, :part, :wake_at_ms)
ON CONFLICT (queue, pool, band, tenant, name, part) DO UPDATE SET wake_at_ms = excluded.wake_at_ms;

-- name: remove
DELETE FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part;

-- name: first
-- The first two jobs behind a gate: the one that may go through it, and whether another stays.
SELECT json_group_array(json_array(lane, position, id, n))
FROM (
    SELECT lane, position, id, n FROM aiq_jobs
    WHERE aside = 1 AND queue = :queue AND pool = :pool AND band = :band AND line = :tenant
        AND aside_limit = :name AND aside_key = :part
    ORDER BY lane, position
    LIMIT 2
);

-- name: set_aside
UPDATE aiq_jobs SET aside = 1, aside_limit = :name, aside_key = :part WHERE n = :n;

-- name: let_through
UPDATE aiq_jobs SET aside = 0, aside_limit = NULL, aside_key = NULL WHERE n = :n;

-- name: behind
SELECT json_group_array(json_array(queue, pool, band, tenant, name, part))
FROM aiq_gates
WHERE name = :name AND part = :part;

-- name: due
SELECT json_group_array(json_array(queue, pool, band, tenant, name, part))
FROM aiq_gates
WHERE queue = :queue AND wake_at_ms <= :now_ms;
