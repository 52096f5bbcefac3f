-- plain_exchange: settle what is done and claim what is next, of plain jobs.
-- What a step moves stands in a table of this connection meanwhile: it is taken apart once, and each table that is
-- written takes from there what it needs. A plus keeps the planner from going through all jobs to look for each there.
-- spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7, POOL-4, CLAIM-3, CLAIM-7

-- name: moving
-- Jobs that end have a `settled_id`, and the place and the length of their result; the others are given to a worker.
CREATE TEMP TABLE IF NOT EXISTS aiq_moved (
    place INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    since_ms INTEGER NOT NULL,
    events INTEGER NOT NULL,
    fence INTEGER NOT NULL,
    settled_id TEXT,
    start INTEGER,
    size INTEGER
);

-- name: runs
-- Jobs that succeed, in their order, if each is plain, and runs by the live lease that is named: nothing of it has to be
-- closed, and nobody waits for it. Where its run has settled by this id before, having found a signal, and goes on, that
-- is a repeat. The driver counts the rows of what begins with INSERT alone.
INSERT INTO aiq_moved (place, n, queue, task, since_ms, events, fence, settled_id, start, size)
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
SELECT
    json_extract(item, '$[0]'), j.n, j.queue, j.task, j.since_ms, j.events, j.fence, json_extract(item, '$[4]'),
    json_extract(item, '$[5]'), json_extract(item, '$[6]')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$[1]')
WHERE j.state = 'running' AND j.fence = json_extract(item, '$[2]') AND j.lease_id = json_extract(item, '$[3]')
    AND j.expires_at_ms > :now_ms AND j.settled_id IS NOT json_extract(item, '$[4]')
    AND j.plain AND j.generation = 1 AND j.dependents = 0 AND j.chunks = 0
    AND j.order_key IS NULL AND j.unique_key IS NULL
    AND NOT EXISTS (SELECT 1 FROM aiq_reservations AS r WHERE r.job_id = j.id AND r.fence = j.fence);

-- name: any_waiting
-- Whether calls stand in line.
SELECT EXISTS (SELECT 1 FROM aiq_waiting);

-- name: is_in_the_way
-- Whether a claim is no new one of its worker, so that it may have been answered before; or has to make jobs ready
-- first, since one is due, a lease has expired, or a deadline has passed.
SELECT
    EXISTS (SELECT 1 FROM aiq_claims WHERE worker = :worker AND number >= :number AND at_ms > :forgotten_ms)
    OR EXISTS (SELECT 1 FROM aiq_jobs WHERE state = 'scheduled' AND due_ms <= :now_ms)
    OR EXISTS (SELECT 1 FROM aiq_jobs WHERE state = 'running' AND expires_at_ms <= :now_ms)
    OR EXISTS (
        SELECT 1 FROM aiq_jobs INDEXED BY aiq_jobs_deadlines
        WHERE deadline_ms IS NOT NULL AND finished_at_ms IS NULL AND cancel_requested_at_ms IS NULL
            AND deadline_ms <= :now_ms
    );

-- name: first
-- The jobs of a band that come first; see `claim.next`.
INSERT INTO aiq_moved (n, queue, task, since_ms, events, fence)
SELECT n, queue, task, since_ms, events, fence FROM aiq_jobs
WHERE queue = :queue AND pool = '' AND aside = 0 AND band = :band AND line = '' AND state = 'ready'
ORDER BY lane, position
LIMIT :most;

-- name: given
-- Those that are given, and what they weigh.
SELECT json_group_array(aiq_moved.n), total(length(s.payload))
FROM aiq_moved
CROSS JOIN aiq_specs AS s ON s.n = aiq_moved.n
WHERE aiq_moved.settled_id IS NULL;

-- name: succeed
-- As `transaction.succeed`.
UPDATE aiq_jobs SET
    state = 'succeeded', due_ms = NULL, wait_key = NULL, wait_signal = NULL, cause = NULL,
    resumes = 0, deferred_at_ms = NULL, late = 0, events = aiq_jobs.events + 1, finished_at_ms = :now_ms,
    lease_id = NULL, owner = NULL, expires_at_ms = NULL,
    settled_id = aiq_moved.settled_id, settled_state = 'succeeded', settled_late = 0, settled_step = NULL
FROM aiq_moved
WHERE aiq_moved.settled_id IS NOT NULL AND aiq_jobs.n = +aiq_moved.n;

-- name: results
INSERT INTO aiq_results (n, result)
SELECT n, substr(:results, start, size) FROM aiq_moved WHERE settled_id IS NOT NULL;

-- name: events
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
SELECT
    :before + place, n, events + 1, :now_ms,
    CASE WHEN settled_id IS NULL THEN 'T3' ELSE 'T5' END,
    CASE WHEN settled_id IS NULL THEN 'ready' ELSE 'running' END,
    CASE WHEN settled_id IS NULL THEN 'running' ELSE 'succeeded' END,
    fence + (settled_id IS NULL)
FROM aiq_moved;

-- name: figures
INSERT INTO aiq_minutes (
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
    waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)
SELECT
    :minute_ms, queue, task, 0, sum(ended = 0), sum(ended), sum(ended), 0, 0, 0, 0,
    sum(CASE WHEN ended THEN 0 ELSE lasted_ms END), max(CASE WHEN ended THEN 0 ELSE lasted_ms END),
    sum(CASE WHEN ended THEN lasted_ms ELSE 0 END), max(CASE WHEN ended THEN lasted_ms ELSE 0 END), 0, 0
FROM (
    SELECT queue, task, settled_id IS NOT NULL AS ended, max(0, :now_ms - since_ms) AS lasted_ms FROM aiq_moved
)
WHERE true
GROUP BY queue, task
ON CONFLICT (minute_ms, queue, task) DO UPDATE SET
    started = started + excluded.started, ended = ended + excluded.ended, succeeded = succeeded + excluded.succeeded,
    waited_ms = waited_ms + excluded.waited_ms, waited_most_ms = max(waited_most_ms, excluded.waited_most_ms),
    ran_ms = ran_ms + excluded.ran_ms, ran_most_ms = max(ran_most_ms, excluded.ran_most_ms);

-- name: clear
DELETE FROM aiq_moved;
