-- settle: what a run leaves behind, save its move.
-- spec: STATE-6, FLOW-9, SIG-2, SIG-3, SIG-6

-- name: result
INSERT INTO aiq_results (n, result) VALUES (:n, :result);

-- name: oldest_signal
SELECT number, payload FROM aiq_signals WHERE n = :n AND name = :name AND kept = 1 ORDER BY number LIMIT 1;

-- name: take_signal
UPDATE aiq_signals SET kept = 0 WHERE number = :number;

-- name: count_taken
UPDATE aiq_jobs SET kept_signals = kept_signals - 1 WHERE n = :n;

-- name: go_on
-- The run found what it wanted to wait for, and keeps its lease.
UPDATE aiq_jobs SET
    events = events + 1, late = 0,
    settled_id = :settled_id, settled_state = 'running', settled_late = 0, settled_step = :key
WHERE n = :n;

-- name: found
-- A late run found it, and is ready instead.
UPDATE aiq_jobs SET settled_step = :key WHERE n = :n;

-- name: await
INSERT INTO aiq_waits (n, wait_key, need, rest) VALUES (:n, :wait_key, :need, :rest)
ON CONFLICT (n, wait_key) DO UPDATE SET need = excluded.need, rest = excluded.rest;
