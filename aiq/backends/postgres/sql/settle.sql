-- settle: what a run leaves behind, save its move.
-- spec: STATE-6, FLOW-9, SIG-2, SIG-3, SIG-6

-- name: result
INSERT INTO aiq_results (n, result)
SELECT n, substring(:blobs::bytea FROM (result->>0)::int FOR (result->>1)::int)
FROM json_to_recordset(:rows::json) AS given(n bigint, result json);

-- name: oldest_signal
SELECT number, payload FROM aiq_signals
WHERE n = :n::bigint AND name = :name::text AND kept = 1
ORDER BY number LIMIT 1;

-- name: take_signal
UPDATE aiq_signals SET kept = 0, over_ms = :now_ms::bigint WHERE number = :number::bigint;

-- name: count_taken
UPDATE aiq_live SET kept_signals = kept_signals - 1 WHERE n = :n::bigint;

-- name: go_on
-- The run found what it wanted to wait for, and keeps its lease.
UPDATE aiq_live SET events = events + 1, late = 0, steps = :steps::bigint WHERE n = :n::bigint;
