-- transaction: what every step writes: jobs that moved, their events, and the counters.
-- spec: STATE-1, STATE-4

-- name: counters
SELECT jobs, positions, changes FROM aiq_counters;

-- name: count
UPDATE aiq_counters SET jobs = :jobs, positions = :positions, changes = :changes;

-- name: move
-- To any state but running, so that the lease goes.
UPDATE aiq_jobs SET
    state = json_extract(moved.value, '$.state'),
    lane = json_extract(moved.value, '$.lane'),
    position = json_extract(moved.value, '$.position'),
    due_ms = json_extract(moved.value, '$.due_ms'),
    wait_key = json_extract(moved.value, '$.wait_key'),
    wait_signal = json_extract(moved.value, '$.wait_signal'),
    failures = json_extract(moved.value, '$.failures'),
    stalls = json_extract(moved.value, '$.stalls'),
    cause = json_extract(moved.value, '$.cause'),
    late = json_extract(moved.value, '$.late'),
    steps = json_extract(moved.value, '$.steps'),
    errors = json_extract(moved.value, '$.errors'),
    events = json_extract(moved.value, '$.events'),
    finished_at_ms = json_extract(moved.value, '$.finished_at_ms'),
    lease_id = NULL, owner = NULL, expires_at_ms = NULL
FROM json_each(:rows) AS moved
WHERE n = json_extract(moved.value, '$.n');

-- name: settled
-- By which settlement a job moved, so that it is recognised when it comes again, and what was answered.
UPDATE aiq_jobs SET
    settled_id = json_extract(settled.value, '$.id'),
    settled_state = json_extract(settled.value, '$.state'),
    settled_late = json_extract(settled.value, '$.late'),
    settled_step = json_extract(settled.value, '$.step')
FROM json_each(:rows) AS settled
WHERE n = json_extract(settled.value, '$.n');

-- name: succeed
-- What most jobs do in the end: both of the above, with what little differs from job to job.
UPDATE aiq_jobs SET
    state = 'succeeded', due_ms = NULL, wait_key = NULL, wait_signal = NULL, cause = NULL,
    late = json_extract(done.value, '$.late'),
    events = events + 1,
    finished_at_ms = :now_ms,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL,
    settled_id = json_extract(done.value, '$.id'),
    settled_state = 'succeeded',
    settled_late = json_extract(done.value, '$.late'),
    settled_step = NULL
FROM json_each(:rows) AS done
WHERE n = json_extract(done.value, '$.n');

-- name: event
-- The most frequent row of all, so its columns are found by place.
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), :now_ms,
    json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]'), json_extract(value, '$[6]')
FROM json_each(:rows);

-- name: error
INSERT INTO aiq_errors (n, number, type, message, traceback, cause, at_ms, fence, attempt)
SELECT
    json_extract(value, '$.n'), json_extract(value, '$.number'), json_extract(value, '$.type'),
    json_extract(value, '$.message'), json_extract(value, '$.traceback'), json_extract(value, '$.cause'),
    json_extract(value, '$.at_ms'), json_extract(value, '$.fence'), json_extract(value, '$.attempt')
FROM json_each(:rows);

-- name: forget_error
-- Each new error over the bound takes the place of the oldest.
DELETE FROM aiq_errors
WHERE (n, number) IN (
    SELECT json_extract(value, '$.n'), json_extract(value, '$.number') FROM json_each(:rows)
);
