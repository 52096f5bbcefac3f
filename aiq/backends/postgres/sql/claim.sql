-- claim: lease ready jobs to a worker, by band, lane and position.
-- Who writes is alone here as well, so that nobody else of this storage can hold these rows.
-- OFFSET 0 lets a question be asked of each queue by itself: without it the planner may read all the rows of a table
-- once instead, as it likes to while there are few. An order that an index has makes it begin at the right place there.
-- spec: CLAIM-1, CLAIM-3, CLAIM-4, CLAIM-5, CLAIM-6, CLAIM-7, CLAIM-8, CLAIM-11, LEASE-3, DEADLINE-3

-- name: last
-- What a worker was given last, and whether a deadline has passed: every claim asks both, so they are one question.
SELECT
    c.number, c.lease_id, c.jobs,
    coalesce((
        SELECT min(j.deadline_ms) FROM aiq_live AS j
        WHERE j.deadline_ms IS NOT NULL AND j.cancel_requested_at_ms IS NULL
    ) <= :now_ms::bigint, false)
FROM (SELECT :worker::text AS name) AS asked
LEFT JOIN aiq_claims AS c ON c.worker = asked.name AND c.at_ms > :forgotten_ms::bigint;

-- name: still_running
SELECT coalesce(json_agg(json_build_array(claimed.key, j.n)), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) WITH ORDINALITY AS claimed(value, key)
JOIN aiq_live AS j ON j.n = claimed.value::bigint
WHERE j.lease_id = :lease_id::text;

-- name: any_ready
-- Whether some of these queues has a job to give, or something that stands aside until now.
SELECT 1
FROM jsonb_array_elements_text(:queues::jsonb) AS wanted(value)
WHERE (
    (
        EXISTS (
            SELECT 1 FROM (VALUES (0::smallint), (1::smallint), (2::smallint), (3::smallint)) AS possible(band)
            WHERE EXISTS (
                SELECT 1 FROM aiq_live AS j
                WHERE j.queue = wanted.value AND j.pool = '' AND j.aside = 0 AND j.band = possible.band
                    AND j.state = 'ready'
                ORDER BY j.line, j.lane, j.position
                OFFSET 0
            )
            AND NOT EXISTS (
                SELECT 1 FROM aiq_lines AS l
                WHERE l.queue = wanted.value AND l.pool = '' AND l.band = possible.band AND l.tenant = ''
                    AND l.wake_at_ms > :now_ms::bigint
                OFFSET 0
            )
            OFFSET 0
        )
        AND NOT EXISTS (
            SELECT 1 FROM aiq_pools AS p
            WHERE p.queue = wanted.value AND p.name = '' AND p.wake_at_ms > :now_ms::bigint
            OFFSET 0
        )
        OR EXISTS (
            SELECT 1
            FROM aiq_pools AS p
            JOIN aiq_lines AS l ON l.queue = p.queue AND l.pool = p.name AND l.jobs > 0 AND l.wake_at_ms = 0
            WHERE p.queue = wanted.value AND p.jobs > 0 AND p.wake_at_ms <= :now_ms::bigint
            OFFSET 0
        )
    )
    AND NOT EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = wanted.value AND q.paused = 1 OFFSET 0)
)
OR EXISTS (
    SELECT 1 FROM aiq_pools AS p
    WHERE p.queue = wanted.value AND p.wake_at_ms > 0 AND p.wake_at_ms <= :now_ms::bigint
    OFFSET 0
)
OR EXISTS (
    SELECT 1 FROM aiq_lines AS l
    WHERE l.queue = wanted.value AND l.wake_at_ms > 0 AND l.wake_at_ms <= :now_ms::bigint
    OFFSET 0
)
OR EXISTS (
    SELECT 1 FROM aiq_gates AS g WHERE g.queue = wanted.value AND g.wake_at_ms <= :now_ms::bigint OFFSET 0
)
OR EXISTS (
    SELECT 1 FROM aiq_live AS j
    WHERE j.state = 'ready' AND j.patience_end_ms IS NOT NULL AND j.patience_end_ms <= :now_ms::bigint
        AND j.queue = wanted.value
    OFFSET 0
)
LIMIT 1;

-- name: look
-- Whether a queue is paused, whether anything in it has to do with admission or its jobs are of several bands, and the
-- most urgent band of those that have not.
SELECT
    EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = :queue::text AND q.paused = 1),
    EXISTS (
        SELECT 1 FROM aiq_queues AS q
        WHERE q.name = :queue::text AND (q.settings IS NOT NULL OR q.credits IS NOT NULL)
    )
    OR EXISTS (SELECT 1 FROM aiq_live AS j WHERE j.queue = :queue::text AND j.state = 'ready' AND j.gated = 1)
    OR EXISTS (SELECT 1 FROM aiq_pools AS p WHERE p.queue = :queue::text AND p.name = '')
    OR EXISTS (SELECT 1 FROM aiq_pools AS p WHERE p.queue = :queue::text AND p.wake_at_ms > 0)
    OR EXISTS (SELECT 1 FROM aiq_lines AS l WHERE l.queue = :queue::text AND l.wake_at_ms > 0)
    OR coalesce(bands.first < bands.last, false),
    bands.first
FROM (
    SELECT
        (
            SELECT j.band FROM aiq_live AS j
            WHERE j.queue = :queue::text AND j.pool = '' AND j.aside = 0 AND j.state = 'ready'
            ORDER BY j.band LIMIT 1
        ) AS first,
        (
            SELECT j.band FROM aiq_live AS j
            WHERE j.queue = :queue::text AND j.pool = '' AND j.aside = 0 AND j.state = 'ready'
            ORDER BY j.band DESC LIMIT 1
        ) AS last
) AS bands;

-- name: next
-- The jobs of a band that come first, with what each payload weighs, its task, and since when it stands ready. The inner
-- limit is MAX_BATCH. Of a limit in a parameter a planner knows nothing, and would sort the whole band. Whoever is no
-- part of this storage may still hold a row, as an operator does who looks at one FOR UPDATE: that job has to wait, and
-- no other. Rows are locked one by one as the outer limit asks for them; an order of its own would make it lock all.
SELECT coalesce(json_agg(json_build_array(
    ready.lane, ready.position, ready.n, ready.id,
    (SELECT octet_length(s.payload) FROM aiq_specs AS s WHERE s.n = ready.n),
    ready.task, ready.since_ms
)), '[]'::json)
FROM (
    SELECT * FROM (
        SELECT n, lane, position, id, task, since_ms FROM aiq_live
        WHERE queue = :queue::text AND pool = '' AND aside = 0 AND band = :band::smallint AND line = ''
            AND state = 'ready'
        ORDER BY lane, position
        LIMIT 256
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS first
    LIMIT :count::bigint
) AS ready;

-- name: lease
UPDATE aiq_live AS j SET
    state = 'running', fence = j.fence + 1, lease_id = :lease_id::text, owner = :worker::text,
    expires_at_ms = :now_ms::bigint + j.lease_ms, started_at_ms = coalesce(j.started_at_ms, :now_ms::bigint),
    run_seq = 0, events = j.events + 1, since_ms = :now_ms::bigint
FROM jsonb_array_elements_text(:ns::jsonb) AS leased(value)
WHERE j.n = leased.value::bigint;

-- name: events
-- Of all jobs that were leased, in the order in which they were given.
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
SELECT :first_change::bigint + leased.key - 1, j.n, j.events, :now_ms::bigint, 'T3', 'ready', 'running', j.fence
FROM jsonb_array_elements_text(:ns::jsonb) WITH ORDINALITY AS leased(value, key)
JOIN aiq_live AS j ON j.n = leased.value::bigint;

-- name: keep
INSERT INTO aiq_claims (worker, number, lease_id, jobs, at_ms)
VALUES (:worker::text, :number::bigint, :lease_id::text, :jobs::text, :now_ms::bigint)
ON CONFLICT (worker) DO UPDATE SET
    number = excluded.number, lease_id = excluded.lease_id, jobs = excluded.jobs, at_ms = excluded.at_ms;

-- name: drop
DELETE FROM aiq_claims WHERE at_ms <= :forgotten_ms::bigint;
