-- claim: lease ready jobs to a worker, by band, lane and position.
-- Differs from a store with many writers: here is one at a time, so nobody else can hold these rows.
-- spec: CLAIM-1, CLAIM-3, CLAIM-4, CLAIM-5, CLAIM-6, CLAIM-7, CLAIM-8, CLAIM-11, LEASE-3, DEADLINE-3

-- name: last
-- What a worker was given last, and whether a deadline has passed: every claim asks both, so they are one question.
SELECT
    c.number, c.lease_id, c.jobs,
    EXISTS (
        SELECT 1 FROM aiq_jobs AS j INDEXED BY aiq_jobs_deadlines
        WHERE j.deadline_ms IS NOT NULL AND j.finished_at_ms IS NULL AND j.cancel_requested_at_ms IS NULL
            AND j.deadline_ms <= :now_ms
    )
FROM (SELECT :worker AS name) AS asked
LEFT JOIN aiq_claims AS c ON c.worker = asked.name AND c.at_ms > :forgotten_ms;

-- name: still_running
SELECT json_group_array(json_array(claimed.key, j.n))
FROM json_each(:ns) AS claimed
CROSS JOIN aiq_jobs AS j ON j.n = claimed.value
WHERE j.lease_id = :lease_id;

-- name: any_ready
-- Whether some of these queues has a job to give, or something that stands aside until now.
SELECT 1
FROM json_each(:queues) AS wanted
WHERE (
    (
        EXISTS (
            SELECT 1 FROM (SELECT 0 AS band UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS possible
            WHERE EXISTS (
                SELECT 1 FROM aiq_jobs AS j
                WHERE j.queue = wanted.value AND j.pool = '' AND j.aside = 0 AND j.band = possible.band
                    AND j.state = 'ready'
            )
            AND NOT EXISTS (
                SELECT 1 FROM aiq_lines AS l
                WHERE l.queue = wanted.value AND l.pool = '' AND l.band = possible.band AND l.tenant = ''
                    AND l.wake_at_ms > :now_ms
            )
        )
        AND NOT EXISTS (
            SELECT 1 FROM aiq_pools AS p WHERE p.queue = wanted.value AND p.name = '' AND p.wake_at_ms > :now_ms
        )
        OR EXISTS (
            SELECT 1
            FROM aiq_pools AS p
            CROSS JOIN aiq_lines AS l INDEXED BY aiq_lines_open
                ON l.queue = p.queue AND l.pool = p.name AND l.jobs > 0 AND l.wake_at_ms = 0
            WHERE p.queue = wanted.value AND p.jobs > 0 AND p.wake_at_ms <= :now_ms
        )
    )
    AND NOT EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = wanted.value AND q.paused = 1)
)
OR EXISTS (
    SELECT 1 FROM aiq_pools AS p INDEXED BY aiq_pools_due
    WHERE p.queue = wanted.value AND p.wake_at_ms > 0 AND p.wake_at_ms <= :now_ms
)
OR EXISTS (
    SELECT 1 FROM aiq_lines AS l INDEXED BY aiq_lines_due
    WHERE l.queue = wanted.value AND l.wake_at_ms > 0 AND l.wake_at_ms <= :now_ms
)
OR EXISTS (SELECT 1 FROM aiq_gates AS g WHERE g.queue = wanted.value AND g.wake_at_ms <= :now_ms)
OR EXISTS (
    SELECT 1 FROM aiq_jobs AS j INDEXED BY aiq_jobs_patience
    WHERE j.state = 'ready' AND j.patience_end_ms IS NOT NULL AND j.patience_end_ms <= :now_ms
        AND j.queue = wanted.value
)
LIMIT 1;

-- name: look
-- Whether a queue is paused, whether anything in it has to do with admission or its jobs are of several bands, and the
-- most urgent band of those that have not.
SELECT
    EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = :queue AND q.paused = 1),
    EXISTS (
        SELECT 1 FROM aiq_queues AS q
        WHERE q.name = :queue AND (q.settings IS NOT NULL OR q.credits IS NOT NULL)
    )
    OR EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.queue = :queue AND j.state = 'ready' AND j.gated = 1)
    OR EXISTS (SELECT 1 FROM aiq_pools AS p WHERE p.queue = :queue AND p.name = '')
    OR EXISTS (SELECT 1 FROM aiq_pools AS p INDEXED BY aiq_pools_due WHERE p.queue = :queue AND p.wake_at_ms > 0)
    OR EXISTS (SELECT 1 FROM aiq_lines AS l INDEXED BY aiq_lines_due WHERE l.queue = :queue AND l.wake_at_ms > 0)
    OR coalesce(first.band < last.band, 0),
    first.band
FROM (
    SELECT min(j.band) AS band FROM aiq_jobs AS j
    WHERE j.queue = :queue AND j.pool = '' AND j.aside = 0 AND j.state = 'ready'
) AS first
CROSS JOIN (
    SELECT max(j.band) AS band FROM aiq_jobs AS j
    WHERE j.queue = :queue AND j.pool = '' AND j.aside = 0 AND j.state = 'ready'
) AS last;

-- name: next
-- The jobs of a band that come first, with what each payload weighs, its task, and since when it stands ready.
SELECT json_group_array(json_array(
    ready.lane, ready.position, ready.n, ready.id, length(s.payload), ready.task, ready.since_ms
))
FROM (
    SELECT n, lane, position, id, task, since_ms FROM aiq_jobs
    WHERE queue = :queue AND pool = '' AND aside = 0 AND band = :band AND line = '' AND state = 'ready'
    ORDER BY lane, position
    LIMIT :count
) AS ready
JOIN aiq_specs AS s ON s.n = ready.n;

-- name: lease
UPDATE aiq_jobs SET
    state = 'running', fence = fence + 1, lease_id = :lease_id, owner = :worker,
    expires_at_ms = :now_ms + lease_ms, started_at_ms = coalesce(started_at_ms, :now_ms),
    run_seq = 0, events = events + 1, since_ms = :now_ms
WHERE n IN (SELECT value FROM json_each(:ns));

-- name: events
-- Of all jobs that were leased, in the order in which they were given.
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
SELECT :first_change + leased.key, j.n, j.events, :now_ms, 'T3', 'ready', 'running', j.fence
FROM json_each(:ns) AS leased
CROSS JOIN aiq_jobs AS j ON j.n = leased.value;

-- name: keep
INSERT INTO aiq_claims (worker, number, lease_id, jobs, at_ms) VALUES (:worker, :number, :lease_id, :jobs, :now_ms)
ON CONFLICT (worker) DO UPDATE SET
    number = excluded.number, lease_id = excluded.lease_id, jobs = excluded.jobs, at_ms = excluded.at_ms;

-- name: drop
DELETE FROM aiq_claims WHERE at_ms <= :forgotten_ms;
