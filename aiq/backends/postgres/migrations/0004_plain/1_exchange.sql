-- exchange: settle what is done and claim what is next, of plain jobs.
-- spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7, POOL-4, CLAIM-3, CLAIM-7

-- The first instant at which something is due, as `sweeps.next` finds it; 0 where something is to be gone on with.
CREATE FUNCTION aiq_next_instant_4(now_ms BIGINT, grace_ms BIGINT, never_ms BIGINT) RETURNS BIGINT
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE WHEN EXISTS (SELECT 1 FROM aiq_outbox) OR EXISTS (SELECT 1 FROM aiq_letting_go) THEN 0 ELSE least(
        (SELECT min(due_ms) FROM aiq_jobs WHERE state = 'scheduled'),
        (SELECT min(due_ms) FROM aiq_jobs WHERE state = 'suspended' AND due_ms IS NOT NULL),
        (SELECT min(expires_at_ms) FROM aiq_jobs WHERE state = 'running'),
        (SELECT min(cancel_requested_at_ms) FROM aiq_jobs WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL)
            + grace_ms,
        (SELECT min(wake_at_ms) FROM aiq_pools WHERE wake_at_ms > 0 AND wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (SELECT min(wake_at_ms) FROM aiq_lines WHERE wake_at_ms > 0 AND wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (SELECT min(wake_at_ms) FROM aiq_gates WHERE wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (
            SELECT min((
                SELECT min(j.patience_end_ms) FROM aiq_jobs AS j
                WHERE j.queue = p.queue AND j.pool = p.name AND j.state = 'ready' AND j.patience_end_ms IS NOT NULL
            ))
            FROM aiq_pools AS p
            WHERE p.wake_at_ms > 0 AND p.wake_at_ms > now_ms
        ),
        (SELECT min(at_ms) FROM aiq_renewals),
        (SELECT min(due_ms) FROM aiq_schedules WHERE due_ms IS NOT NULL),
        (
            SELECT min(deadline_ms) FROM aiq_jobs
            WHERE deadline_ms IS NOT NULL AND finished_at_ms IS NULL AND cancel_requested_at_ms IS NULL
        )
    ) END;
END
$$;

-- Whether there is anything in some queues, ready or standing aside until now: then a claim may be given something.
CREATE FUNCTION aiq_any_there_4(queues TEXT[], now_ms BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM unnest(queues) AS wanted(name)
        WHERE EXISTS (
            SELECT 1 FROM aiq_jobs AS j
            WHERE j.queue = wanted.name AND j.state = 'ready'
            ORDER BY j.pool, j.aside, j.band, j.line, j.lane, j.position
            OFFSET 0
        )
        OR EXISTS (
            SELECT 1 FROM aiq_pools AS p
            WHERE p.queue = wanted.name AND p.wake_at_ms > 0 AND p.wake_at_ms <= now_ms
            OFFSET 0
        )
        OR EXISTS (
            SELECT 1 FROM aiq_lines AS l
            WHERE l.queue = wanted.name AND l.wake_at_ms > 0 AND l.wake_at_ms <= now_ms
            OFFSET 0
        )
        OR EXISTS (SELECT 1 FROM aiq_gates AS g WHERE g.queue = wanted.name AND g.wake_at_ms <= now_ms OFFSET 0)
    );
END
$$;

-- What an exchange without settlements answers that would write nothing: when something is due, -1 for never.
-- It takes no lock, and is one look: every one of these questions is asked of the same snapshot. NULL for any other.
CREATE FUNCTION aiq_idle_4(
    clock_ms BIGINT, grace_ms BIGINT, never_ms BIGINT, forgotten_ms BIGINT, worker TEXT, number BIGINT, queues TEXT[]
) RETURNS BIGINT
LANGUAGE plpgsql STABLE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    now_ms BIGINT := coalesce(clock_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    next_ms BIGINT;
BEGIN
    IF aiq_is_shut_4() OR aiq_any_there_4(queues, now_ms) OR EXISTS (
        SELECT 1 FROM aiq_claims AS c
        WHERE c.worker = aiq_idle_4.worker AND c.number >= aiq_idle_4.number AND c.at_ms > now_ms - forgotten_ms
    ) THEN
        RETURN NULL;
    END IF;
    next_ms := aiq_next_instant_4(now_ms, grace_ms, never_ms);
    RETURN CASE WHEN next_ms IS NULL THEN -1 WHEN next_ms > now_ms THEN next_ms - now_ms END;
END
$$;
