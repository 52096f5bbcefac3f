-- transaction: what every step writes: jobs that moved, their events, and the counters.
-- spec: STATE-1, STATE-4

-- name: counters
SELECT jobs, positions, changes FROM aiq_counters;

-- name: count
UPDATE aiq_counters SET jobs = :jobs, positions = :positions, changes = :changes;

-- name: move
-- To any state but running, so that the lease goes.
UPDATE aiq_jobs SET
    state = :state, lane = :lane, position = :position, due_ms = :due_ms, wait_key = :wait_key,
    wait_signal = :wait_signal, pending = :pending, failures = :failures, stalls = :stalls, cause = :cause,
    late = :late, events = :events, finished_at_ms = :finished_at_ms,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL
WHERE n = :n;

-- name: move_settled
-- The same, by a settlement that is to be recognised when it comes again.
UPDATE aiq_jobs SET
    state = :state, lane = :lane, position = :position, due_ms = :due_ms, wait_key = :wait_key,
    wait_signal = :wait_signal, pending = :pending, failures = :failures, stalls = :stalls, cause = :cause,
    late = :late, events = :events, finished_at_ms = :finished_at_ms,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL,
    settled_id = :settled_id, settled_state = :state, settled_late = :late, settled_step = NULL
WHERE n = :n;

-- name: event
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
VALUES (:change, :n, :number, :at_ms, :transition, :source, :target, :fence);

-- name: result
INSERT INTO aiq_results (n, result) VALUES (:n, :result);

-- name: error
INSERT INTO aiq_errors (n, number, type, message, traceback, cause, at_ms, fence, attempt)
VALUES (:n, :number, :type, :message, :traceback, :cause, :at_ms, :fence, :attempt);

-- name: forget_errors
DELETE FROM aiq_errors WHERE n = :n AND number <= :number;

-- name: count_errors
UPDATE aiq_jobs SET errors = :number WHERE n = :n;
