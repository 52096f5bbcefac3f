-- send: keep a signal, or note which one a wait took.
-- spec: SIG-1, SIG-2, SIG-4, SIG-11

-- name: first
SELECT name, payload, bound FROM aiq_signals WHERE n = :n::bigint AND signal_id = :signal_id::text;

-- name: add
INSERT INTO aiq_signals (n, signal_id, name, payload, kept, bound, over_ms)
VALUES (
    :n::bigint, :signal_id::text, :name::text, :payload::bytea, :kept::smallint, :bound::smallint, :over_ms::bigint
);

-- name: count
UPDATE aiq_jobs SET kept_signals = kept_signals + 1 WHERE n = :n::bigint;
