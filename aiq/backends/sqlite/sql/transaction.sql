-- transaction: what every step writes: jobs that moved, their events, the counters, and what it tells others.
-- spec: STATE-1, STATE-4, STORE-6

-- name: counters
SELECT jobs, positions, changes, lifo FROM aiq_counters;

-- name: count
UPDATE aiq_counters SET jobs = :jobs, positions = :positions, changes = :changes, events = events + :events;

-- name: move
-- To any state but running, so that the lease goes.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    state = json_extract(item, '$.state'),
    pool = json_extract(item, '$.pool'),
    lane = json_extract(item, '$.lane'),
    position = json_extract(item, '$.position'),
    aside = 0, aside_limit = NULL, aside_key = NULL,
    patience_end_ms = json_extract(item, '$.patience_end_ms'),
    due_ms = json_extract(item, '$.due_ms'),
    wait_key = json_extract(item, '$.wait_key'),
    wait_signal = json_extract(item, '$.wait_signal'),
    failures = json_extract(item, '$.failures'),
    stalls = json_extract(item, '$.stalls'),
    cause = json_extract(item, '$.cause'),
    late = json_extract(item, '$.late'),
    route = json_extract(item, '$.route'),
    closed_routes = json_extract(item, '$.closed_routes'),
    resumes = json_extract(item, '$.resumes'),
    deferred_at_ms = json_extract(item, '$.deferred_at_ms'),
    held = json_extract(item, '$.held'),
    held_by = json_extract(item, '$.held_by'),
    steps = json_extract(item, '$.steps'),
    errors = json_extract(item, '$.errors'),
    events = json_extract(item, '$.events'),
    finished_at_ms = json_extract(item, '$.finished_at_ms'),
    since_ms = json_extract(item, '$.since_ms'),
    put_off_ms = NULL,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL
FROM given
WHERE n = json_extract(item, '$.n');

-- name: settled
-- By which settlement a job moved, so that it is recognised when it comes again, and what was answered.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    settled_id = json_extract(item, '$.id'),
    settled_state = json_extract(item, '$.state'),
    settled_late = json_extract(item, '$.late'),
    settled_step = json_extract(item, '$.step')
FROM given
WHERE n = json_extract(item, '$.n');

-- name: succeed
-- What most jobs do in the end: both of the above, with what little differs from job to job.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    state = 'succeeded', due_ms = NULL, wait_key = NULL, wait_signal = NULL, cause = NULL,
    resumes = 0, deferred_at_ms = NULL,
    late = json_extract(item, '$.late'),
    events = events + 1,
    finished_at_ms = :now_ms,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL,
    settled_id = json_extract(item, '$.id'),
    settled_state = 'succeeded',
    settled_late = json_extract(item, '$.late'),
    settled_step = NULL
FROM given
WHERE n = json_extract(item, '$.n');

-- name: event
-- The most frequent row of all, so its columns are found by place.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence, cause)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), :now_ms,
    json_extract(item, '$[3]'), json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'),
    json_extract(item, '$[7]')
FROM given;

-- name: error
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_errors (
    n, number, type, message, traceback, cause, at_ms, fence, attempt, fingerprint, code, place, pattern
)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.number'), json_extract(item, '$.type'),
    json_extract(item, '$.message'), json_extract(item, '$.traceback'), json_extract(item, '$.cause'),
    json_extract(item, '$.at_ms'), json_extract(item, '$.fence'), json_extract(item, '$.attempt'),
    json_extract(item, '$.fingerprint'), json_extract(item, '$.code'), json_extract(item, '$.place'),
    json_extract(item, '$.pattern')
FROM given;

-- name: forget_error
-- Each new error over the bound takes the place of the oldest.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_errors
WHERE (n, number) IN (
    SELECT json_extract(item, '$.n'), json_extract(item, '$.number') FROM given
);

-- name: tell
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_news (change, topic) SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given;

-- name: forget_news
DELETE FROM aiq_news WHERE change <= :last;
