-- claim: lease ready jobs to a worker, by band, lane and position.
-- Differs from a store with many writers: here is one at a time, so nobody else can hold these rows.
-- spec: CLAIM-1, CLAIM-3, CLAIM-4, CLAIM-5, CLAIM-6, CLAIM-7, CLAIM-8, CLAIM-11, LEASE-3

-- name: last
SELECT number, lease_id, jobs FROM aiq_claims WHERE worker = :worker AND at_ms > :forgotten_ms;

-- name: still_running
SELECT json_group_array(json_array(claimed.key, j.n))
FROM json_each(:ns) AS claimed
CROSS JOIN aiq_jobs AS j ON j.n = claimed.value
WHERE j.lease_id = :lease_id;

-- name: any_ready
-- Whether some of these queues has a job to give.
SELECT 1
FROM json_each(:queues) AS wanted
WHERE EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.queue = wanted.value AND j.state = 'ready')
    AND NOT EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = wanted.value AND q.paused = 1)
LIMIT 1;

-- name: next
-- The jobs of a queue that come first, with what each payload weighs.
SELECT json_group_array(json_array(ready.band, ready.lane, ready.position, ready.n, ready.id, length(s.payload)))
FROM (
    SELECT n, band, lane, position, id FROM aiq_jobs
    WHERE queue = :queue AND state = 'ready'
        AND NOT EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = :queue AND q.paused = 1)
    ORDER BY band, lane, position
    LIMIT :count
) AS ready
JOIN aiq_specs AS s ON s.n = ready.n;

-- name: lease
UPDATE aiq_jobs SET
    state = 'running', fence = fence + 1, lease_id = :lease_id, owner = :worker,
    expires_at_ms = :now_ms + lease_ms, started_at_ms = coalesce(started_at_ms, :now_ms),
    run_seq = 0, events = events + 1
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
