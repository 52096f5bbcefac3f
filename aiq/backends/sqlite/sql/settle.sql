-- settle: what a run leaves behind, save its move.
-- spec: STATE-6, FLOW-9, SIG-2, SIG-3, SIG-6

-- name: result
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_results (n, result)
SELECT json_extract(item, '$.n'), substr(:blobs, json_extract(item, '$.result[0]'), json_extract(item, '$.result[1]'))
FROM given;

-- name: oldest_signal
SELECT number, payload FROM aiq_signals WHERE n = :n AND name = :name AND kept = 1 ORDER BY number LIMIT 1;

-- name: take_signal
UPDATE aiq_signals SET kept = 0, over_ms = :now_ms WHERE number = :number;

-- name: count_taken
UPDATE aiq_jobs SET kept_signals = kept_signals - 1 WHERE n = :n;

-- name: go_on
-- The run found what it wanted to wait for, and keeps its lease.
UPDATE aiq_jobs SET events = events + 1, late = 0, steps = :steps WHERE n = :n;
