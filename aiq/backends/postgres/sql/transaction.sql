-- transaction: what every step writes: jobs that moved, their events, the counters, and what it tells others.
-- spec: STATE-1, STATE-4, STORE-6

-- name: counters
SELECT jobs, positions, changes, lifo FROM aiq_counters;

-- name: count
UPDATE aiq_counters SET
    jobs = :jobs::bigint, positions = :positions::bigint, changes = :changes::bigint,
    events = events + :events::bigint;

-- name: move
-- To any state but running, so that the lease goes.
UPDATE aiq_jobs AS j SET
    state = given.state,
    pool = given.pool,
    lane = given.lane,
    position = given.position,
    aside = 0, aside_limit = NULL, aside_key = NULL,
    patience_end_ms = given.patience_end_ms,
    due_ms = given.due_ms,
    wait_key = given.wait_key,
    wait_signal = given.wait_signal,
    failures = given.failures,
    stalls = given.stalls,
    cause = given.cause,
    late = given.late::int,
    route = given.route,
    closed_routes = given.closed_routes,
    resumes = given.resumes::int,
    deferred_at_ms = given.deferred_at_ms,
    held = given.held,
    held_by = given.held_by,
    steps = given.steps,
    errors = given.errors,
    events = given.events,
    finished_at_ms = given.finished_at_ms,
    since_ms = given.since_ms,
    put_off_ms = NULL,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL
FROM json_to_recordset(:rows::json) AS given(
    n bigint, state text, pool text, lane smallint, position bigint, patience_end_ms bigint, due_ms bigint,
    wait_key text, wait_signal text, failures bigint, stalls bigint, cause text, late boolean, route bigint,
    closed_routes bigint, resumes boolean, deferred_at_ms bigint, held text, held_by text, steps bigint,
    errors bigint, events bigint, finished_at_ms bigint, since_ms bigint
)
WHERE j.n = given.n;

-- name: settled
-- By which settlement a job moved, so that it is recognised when it comes again, and what was answered.
UPDATE aiq_jobs AS j SET
    settled_id = given.id, settled_state = given.state, settled_late = given.late::int, settled_step = given.step
FROM json_to_recordset(:rows::json) AS given(n bigint, id text, state text, late boolean, step text)
WHERE j.n = given.n;

-- name: succeed
-- What most jobs do in the end: both of the above, with what little differs from job to job.
-- The look for a row is by its number alone, OFFSET 0: with its state among the conditions, a planner that has seen
-- nothing run goes through all that run, for each of them. That it runs keeps the planner from those that have ended.
UPDATE aiq_jobs AS j SET
    state = 'succeeded', due_ms = NULL, wait_key = NULL, wait_signal = NULL, cause = NULL,
    resumes = 0, deferred_at_ms = NULL,
    late = given.late::int,
    events = j.events + 1,
    finished_at_ms = :now_ms::bigint,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL,
    settled_id = given.id,
    settled_state = 'succeeded',
    settled_late = given.late::int,
    settled_step = NULL
FROM json_to_recordset(:rows::json) AS given(n bigint, id text, late boolean)
CROSS JOIN LATERAL (SELECT live.ctid AS place FROM aiq_live AS live WHERE live.n = given.n OFFSET 0) AS found
WHERE j.ctid = found.place AND j.state = 'running';

-- name: event
-- The most frequent row of all, so its columns are found by place.
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence, cause)
SELECT
    (item->>0)::bigint, (item->>1)::bigint, (item->>2)::bigint, :now_ms::bigint, item->>3, item->>4, item->>5,
    (item->>6)::bigint, item->>7
FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: error
INSERT INTO aiq_errors (
    n, number, type, message, traceback, cause, at_ms, fence, attempt, fingerprint, code, place, pattern
)
SELECT
    n, number, type, message, traceback, cause, at_ms, fence, attempt, fingerprint, code, place, pattern
FROM json_to_recordset(:rows::json) AS given(
    n bigint, number bigint, type text, message text, traceback text, cause text, at_ms bigint, fence bigint,
    attempt bigint, fingerprint text, code text, place text, pattern text
);

-- name: forget_error
-- Each new error over the bound takes the place of the oldest.
DELETE FROM aiq_errors AS e
USING json_to_recordset(:rows::json) AS given(n bigint, number bigint)
WHERE e.n = given.n AND e.number = given.number;

-- name: tell
INSERT INTO aiq_news (change, topic)
SELECT (item->>0)::bigint, item->>1 FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: forget_news
DELETE FROM aiq_news WHERE change <= :last::bigint;
