-- items: what a stream holds, and the ranges of numbers by which a reset knows what is void.
-- spec: STREAM-1, STREAM-4, STREAM-7, STREAM-8

-- name: add
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
VALUES (:change, :n, :number, :kind, :data, :fence, :seq, :step, :at_ms);

-- name: ranges
SELECT first, last, fence, step_key, void FROM aiq_ranges WHERE n = :n ORDER BY first;

-- name: touch
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void) VALUES (:n, :first, :last, :fence, :step, :void)
ON CONFLICT (n, first) DO UPDATE SET last = excluded.last, void = excluded.void;

-- name: count
UPDATE aiq_jobs SET chunks = :last WHERE n = :n;
