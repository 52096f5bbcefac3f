-- exchange: settle what is done and claim what is next, of plain jobs.
-- spec: LEASE-1, STATE-6, STORE-5, STORE-11, TIME-7, POOL-4, CLAIM-3, CLAIM-7

-- The first instant at which something is due, as `sweeps.next` finds it; 0 where something is to be gone on with.
CREATE FUNCTION aiq_next_instant_4(now_ms BIGINT, grace_ms BIGINT, never_ms BIGINT) RETURNS BIGINT
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN CASE WHEN EXISTS (SELECT 1 FROM aiq_outbox) OR EXISTS (SELECT 1 FROM aiq_letting_go) THEN 0 ELSE least(
        (SELECT min(due_ms) FROM aiq_live WHERE state = 'scheduled'),
        (SELECT min(due_ms) FROM aiq_live WHERE state = 'suspended' AND due_ms IS NOT NULL),
        (SELECT min(expires_at_ms) FROM aiq_live WHERE state = 'running'),
        (SELECT min(cancel_requested_at_ms) FROM aiq_live WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL)
            + grace_ms,
        (SELECT min(wake_at_ms) FROM aiq_pools WHERE wake_at_ms > 0 AND wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (SELECT min(wake_at_ms) FROM aiq_lines WHERE wake_at_ms > 0 AND wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (SELECT min(wake_at_ms) FROM aiq_gates WHERE wake_at_ms > now_ms AND wake_at_ms < never_ms),
        (
            SELECT min((
                SELECT min(j.patience_end_ms) FROM aiq_live AS j
                WHERE j.queue = p.queue AND j.pool = p.name AND j.state = 'ready' AND j.patience_end_ms IS NOT NULL
            ))
            FROM aiq_pools AS p
            WHERE p.wake_at_ms > 0 AND p.wake_at_ms > now_ms
        ),
        (SELECT min(at_ms) FROM aiq_renewals),
        (SELECT min(due_ms) FROM aiq_schedules WHERE due_ms IS NOT NULL),
        (
            SELECT min(deadline_ms) FROM aiq_live
            WHERE deadline_ms IS NOT NULL AND cancel_requested_at_ms IS NULL
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
            SELECT 1 FROM aiq_live AS j
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

-- When something is due for an exchange without settlements that would write nothing, -1 for never; NULL for any other.
-- It takes no lock. And it is one look: every one of these questions is asked of the same snapshot.
CREATE FUNCTION aiq_idle_4(
    clock_ms BIGINT, grace_ms BIGINT, never_ms BIGINT, kept_ms BIGINT, claimer TEXT, claim BIGINT, queues TEXT[]
) RETURNS BIGINT
LANGUAGE plpgsql STABLE AS $$
DECLARE
    now_ms BIGINT := coalesce(clock_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
    due_ms BIGINT;
BEGIN
    IF aiq_is_shut_4() OR aiq_any_left_4() OR aiq_is_known_4(claimer, claim, now_ms - kept_ms)
        OR aiq_any_there_4(queues, now_ms)
    THEN
        RETURN NULL;
    END IF;
    due_ms := aiq_next_instant_4(now_ms, grace_ms, never_ms);
    RETURN CASE WHEN due_ms IS NULL THEN -1 WHEN due_ms > now_ms THEN due_ms - now_ms END;
END
$$;

-- Whether a claim is no new one of its worker: it may have been answered before.
CREATE FUNCTION aiq_is_known_4(claimer TEXT, claim BIGINT, forgotten_ms BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (
        SELECT 1 FROM aiq_claims WHERE worker = claimer AND number >= claim AND at_ms > forgotten_ms
    );
END
$$;

-- Whether a claim has to make jobs ready first: one is due, a lease has expired, or a deadline has passed.
CREATE FUNCTION aiq_any_sweep_4(now_ms BIGINT) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN least(
        (SELECT min(due_ms) FROM aiq_live WHERE state = 'scheduled'),
        (SELECT min(expires_at_ms) FROM aiq_live WHERE state = 'running'),
        (
            SELECT min(deadline_ms) FROM aiq_live
            WHERE deadline_ms IS NOT NULL AND cancel_requested_at_ms IS NULL
        )
    ) <= now_ms;
END
$$;

-- The one band in which jobs of a queue are ready, -1 where there is none to be given, and NULL where they have to be
-- looked at one by one. See `claim.look`.
CREATE FUNCTION aiq_band_4(wanted TEXT) RETURNS SMALLINT
LANGUAGE plpgsql STABLE AS $$
DECLARE
    first SMALLINT;
    last SMALLINT;
BEGIN
    IF EXISTS (SELECT 1 FROM aiq_queues WHERE name = wanted AND (settings IS NOT NULL OR credits IS NOT NULL))
        OR EXISTS (SELECT 1 FROM aiq_live WHERE queue = wanted AND state = 'ready' AND gated = 1)
        OR EXISTS (SELECT 1 FROM aiq_pools WHERE queue = wanted AND name = '')
        OR EXISTS (SELECT 1 FROM aiq_pools WHERE queue = wanted AND wake_at_ms > 0)
        OR EXISTS (SELECT 1 FROM aiq_lines WHERE queue = wanted AND wake_at_ms > 0)
    THEN
        RETURN NULL;
    END IF;
    SELECT band INTO first FROM aiq_live
    WHERE queue = wanted AND pool = '' AND aside = 0 AND state = 'ready'
    ORDER BY band LIMIT 1;
    SELECT band INTO last FROM aiq_live
    WHERE queue = wanted AND pool = '' AND aside = 0 AND state = 'ready'
    ORDER BY band DESC LIMIT 1;
    RETURN CASE
        WHEN first IS NULL THEN -1
        WHEN first < last THEN NULL
        WHEN EXISTS (SELECT 1 FROM aiq_queues WHERE name = wanted AND paused = 1) THEN -1
        ELSE first
    END;
END
$$;

-- Settle jobs that have succeeded, all or none. Whether they were settled: not where one does not run by the live lease
-- that is named, has anything to close, or somebody who waits for it; nor where its run has settled by this id before,
-- having found a signal, and goes on: that is a repeat.
--
-- Each row is looked for by its id once, and then found where it is. Under the lock nobody of us moves it in between; of
-- anybody else who has, the step is made again.
CREATE FUNCTION aiq_settle_4(
    ids TEXT[], fences BIGINT[], lease_ids TEXT[], settled_ids TEXT[], results BYTEA[], now_ms BIGINT, minute_ms BIGINT,
    first_change BIGINT
) RETURNS BOOLEAN
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    runs BIGINT;
    moved BIGINT;
BEGIN
    WITH run AS MATERIALIZED (
        SELECT s.*, j.spot, j.n, j.events + 1 AS event, j.queue, j.task, greatest(0, now_ms - j.since_ms) AS ran_ms
        FROM unnest(ids, fences, lease_ids, settled_ids, results)
            WITH ORDINALITY AS s(id, fence, lease_id, settling, result, place)
        CROSS JOIN LATERAL (
            -- By the id alone: with the rest in here, a planner may go through all that are running, for each of them.
            SELECT *, ctid AS spot FROM aiq_live WHERE id = s.id OFFSET 0
        ) AS j
        WHERE j.state = 'running' AND j.fence = s.fence AND j.lease_id = s.lease_id AND j.expires_at_ms > now_ms
            AND j.settled_id IS DISTINCT FROM s.settling
            AND j.plain = 1 AND j.generation = 1 AND j.dependents = 0 AND j.chunks = 0
            AND j.order_key IS NULL AND j.unique_key IS NULL
            AND NOT EXISTS (SELECT 1 FROM aiq_reservations AS r WHERE r.job_id = s.id AND r.fence = s.fence OFFSET 0)
    ), plain AS MATERIALIZED (
        SELECT * FROM run
        WHERE (SELECT count(*) FROM run) = cardinality(ids) AND NOT EXISTS (SELECT 1 FROM aiq_waiting)
    ), moved AS (
        UPDATE aiq_jobs AS j SET
            state = 'succeeded', due_ms = NULL, wait_key = NULL, wait_signal = NULL, cause = NULL,
            resumes = 0, deferred_at_ms = NULL, late = 0, events = plain.event, finished_at_ms = now_ms,
            lease_id = NULL, owner = NULL, expires_at_ms = NULL,
            settled_id = plain.settling, settled_state = 'succeeded', settled_late = 0, settled_step = NULL
        FROM plain
        WHERE j.ctid = plain.spot AND j.state = 'running'
        RETURNING 1
    ), kept AS (
        INSERT INTO aiq_results (n, result) SELECT n, result FROM plain
    ), told AS (
        INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
        SELECT first_change + place - 1, n, event, now_ms, 'T5', 'running', 'succeeded', fence FROM plain
    ), figures AS (
        INSERT INTO aiq_minutes AS m (
            minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
            waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
        )
        SELECT
            now_ms - now_ms % minute_ms, queue, task, 0, 0, count(*), count(*), 0, 0, 0, 0,
            0, 0, sum(ran_ms), max(ran_ms), 0, 0
        FROM plain
        GROUP BY queue, task
        ON CONFLICT (minute_ms, queue, task) DO UPDATE SET
            ended = m.ended + excluded.ended, succeeded = m.succeeded + excluded.succeeded,
            ran_ms = m.ran_ms + excluded.ran_ms, ran_most_ms = greatest(m.ran_most_ms, excluded.ran_most_ms)
    )
    SELECT (SELECT count(*) FROM plain), (SELECT count(*) FROM moved) INTO runs, moved;
    IF moved < runs THEN
        RAISE serialization_failure USING MESSAGE = 'somebody else has written a job that was to be settled';
    END IF;
    RETURN runs > 0;
END
$$;

-- Lease the jobs that come first to one worker: of each queue those of one band, as many as it wants, as far as there are
-- places and their payloads fit, but always the first; see `claim.next`, where it is told why the limit is a number.
-- `given` are their numbers in order. Of each job `numbers` and `texts` are a row, in the columns that claimed.py names,
-- and `errors` are as `jobs.errors` reads them: arrays cost a fraction of the same rows as JSON. What is ready has no
-- result, and it waits for nothing.
CREATE FUNCTION aiq_lease_4(
    claimer TEXT, lease TEXT, queues TEXT[], bands SMALLINT[], counts BIGINT[], most_jobs BIGINT, most_bytes BIGINT,
    now_ms BIGINT, minute_ms BIGINT, first_change BIGINT,
    OUT given BIGINT[], OUT numbers BIGINT[], OUT texts TEXT[], OUT payloads BYTEA[], OUT progress BYTEA[],
    OUT errors JSON
)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    errors_in_all BIGINT;
BEGIN
    WITH ready AS MATERIALIZED (
        SELECT
            *, row_number() OVER in_order AS place, sum(octet_length(payload)) OVER in_order AS bytes
        FROM unnest(queues, bands, counts) WITH ORDINALITY AS wanted(name, in_band, count, turn)
        CROSS JOIN LATERAL (
            SELECT * FROM (
                SELECT ctid AS spot, n, queue, lane, position, task, since_ms, events + 1 AS event, fence + 1 AS claim
                FROM aiq_live
                WHERE queue = wanted.name AND pool = '' AND aside = 0 AND band = wanted.in_band AND line = ''
                    AND state = 'ready'
                ORDER BY lane, position
                LIMIT 256
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS first
            LIMIT wanted.count
        ) AS first
        CROSS JOIN LATERAL (
            SELECT payload, digest, timeout_ms, child_of, on_parent, origin, depends_on
            FROM aiq_specs WHERE n = first.n OFFSET 0
        ) AS s
        WINDOW in_order AS (ORDER BY turn, lane, position)
    ), chosen AS MATERIALIZED (
        SELECT * FROM ready WHERE place <= most_jobs AND (bytes <= most_bytes OR place = 1)
    ), leased AS (
        UPDATE aiq_live AS j SET
            state = 'running', fence = chosen.claim, lease_id = lease, owner = claimer,
            expires_at_ms = now_ms + j.lease_ms, started_at_ms = coalesce(j.started_at_ms, now_ms),
            run_seq = 0, events = chosen.event, since_ms = now_ms
        FROM chosen
        WHERE j.ctid = chosen.spot
        RETURNING
            chosen.place, j.n, j.errors, chosen.payload,
            CASE WHEN j.progress_number IS NOT NULL
                THEN (SELECT data FROM aiq_chunks AS c WHERE c.n = j.n AND c.number = j.progress_number)
            END AS progress,
            ARRAY[
                j.n, j.errors, j.band, j.delay_ms, j.at_ms, j.lease_ms, chosen.timeout_ms, j.max_attempts, j.max_stalls,
                j.max_deferral_ms, j.deadline_ms, j.keep_ms, j.generation, j.fence, j.failures, j.stalls, j.lane,
                j.position, j.due_ms, j.expires_at_ms, j.cancel_requested_at_ms, (j.steps > 0)::int, j.kept_signals,
                j.chunks, j.late, j.events, j.created_at_ms, j.started_at_ms
            ] AS numbers,
            ARRAY[
                CASE WHEN j.order_key IS NOT NULL THEN (
                    SELECT json_build_array(k.per_key, k.while_parked)::text FROM aiq_keyed AS k WHERE k.n = j.n
                ) END,
                CASE
                    WHEN j.plain = 1 THEN NULL
                    WHEN j.deferred_at_ms IS NULL AND j.resumes = 0 AND j.opened_calls = 0 AND j.route = 0
                        AND j.closed_routes = 0 AND j.held IS NULL
                        THEN (SELECT to_json(t.terms)::text FROM aiq_terms AS t WHERE t.n = j.n)
                    ELSE json_build_array(
                        j.deferred_at_ms, j.resumes, j.opened_calls, j.route, j.closed_routes, j.held, j.held_by,
                        CASE WHEN j.gated = 1 THEN (SELECT t.terms FROM aiq_terms AS t WHERE t.n = j.n) END
                    )::text
                END,
                nullif(chosen.depends_on, '[]'),
                j.id, j.task, j.queue, chosen.digest, j.flow, j.on_upstream, chosen.child_of, chosen.on_parent, j.tenant,
                j.order_key, j.unique_key, j.cause, j.wait_key, j.parent_id, chosen.origin
            ] AS texts
    ), told AS (
        INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence)
        SELECT first_change + place - 1, n, event, now_ms, 'T3', 'ready', 'running', claim FROM chosen
    ), figures AS (
        INSERT INTO aiq_minutes AS m (
            minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
            waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
        )
        SELECT
            now_ms - now_ms % minute_ms, queue, task, 0, count(*), 0, 0, 0, 0, 0, 0,
            sum(greatest(0, now_ms - since_ms)), max(greatest(0, now_ms - since_ms)), 0, 0, 0, 0
        FROM chosen
        GROUP BY queue, task
        ON CONFLICT (minute_ms, queue, task) DO UPDATE SET
            started = m.started + excluded.started, waited_ms = m.waited_ms + excluded.waited_ms,
            waited_most_ms = greatest(m.waited_most_ms, excluded.waited_most_ms)
    )
    SELECT
        coalesce(array_agg(n ORDER BY place), '{}'), array_agg(numbers), array_agg(texts), array_agg(payload),
        array_agg(progress), sum(errors)
    INTO given, numbers, texts, payloads, progress, errors_in_all
    FROM leased;
    IF errors_in_all > 0 THEN
        SELECT json_agg(json_build_array(
            e.n, e.number, e.type, e.message, e.traceback, e.cause, e.at_ms, e.fence, e.attempt, e.fingerprint, e.code,
            e.place, e.pattern
        ))
        INTO errors
        FROM unnest(given) AS asked(n)
        CROSS JOIN LATERAL (SELECT * FROM aiq_errors WHERE n = asked.n OFFSET 0) AS e;
    END IF;
END
$$;

-- Settle jobs that have succeeded, and claim. `next_ms` is NULL where the step has to be made in Python, and -1 where
-- nothing is due ever. `given` are the jobs that were claimed, in their order.
CREATE FUNCTION aiq_exchange_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    grace_ms BIGINT, never_ms BIGINT, kept_ms BIGINT, minute_ms BIGINT, most_jobs BIGINT, most_bytes BIGINT,
    ids TEXT[], fences BIGINT[], lease_ids TEXT[], settled_ids TEXT[], results BYTEA[],
    claimer TEXT, claim BIGINT, lease TEXT, queues TEXT[], counts BIGINT[],
    OUT next_ms BIGINT, OUT first_change BIGINT, OUT changes BIGINT,
    OUT given BIGINT[], OUT numbers BIGINT[], OUT texts TEXT[], OUT payloads BYTEA[], OUT progress BYTEA[],
    OUT errors JSON
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ms BIGINT;
    bands SMALLINT[];
BEGIN
    given := '{}';
    IF cardinality(ids) = 0 THEN
        next_ms := aiq_idle_4(clock_ms, grace_ms, never_ms, kept_ms, claimer, claim, ARRAY(
            SELECT name FROM unnest(queues, counts) AS wanted(name, count) WHERE count > 0
        ));
        IF next_ms IS NOT NULL OR claimer IS NULL THEN
            RETURN;
        END IF;
    END IF;
    now_ms := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
    IF now_ms IS NULL OR (claimer IS NOT NULL AND aiq_any_left_4()) THEN
        RETURN;
    END IF;
    IF claimer IS NOT NULL THEN
        bands := ARRAY(SELECT aiq_band_4(name) FROM unnest(queues) WITH ORDINALITY AS wanted(name, place) ORDER BY place);
        IF array_position(bands, NULL) IS NOT NULL OR aiq_any_sweep_4(now_ms)
            OR aiq_is_known_4(claimer, claim, now_ms - kept_ms)
        THEN
            RETURN;
        END IF;
    END IF;

    -- From here on is written.
    SELECT c.changes + 1 INTO first_change FROM aiq_counters AS c;
    changes := cardinality(ids);
    IF changes > 0 AND NOT aiq_settle_4(
        ids, fences, lease_ids, settled_ids, results, now_ms, minute_ms, first_change
    ) THEN
        RETURN;
    END IF;
    IF bands IS NOT NULL THEN
        SELECT l.* INTO given, numbers, texts, payloads, progress, errors
        FROM aiq_lease_4(
            claimer, lease, queues, bands, counts, most_jobs, most_bytes, now_ms, minute_ms, first_change + changes
        ) AS l;
    END IF;
    IF cardinality(given) > 0 THEN
        changes := changes + cardinality(given);
        DELETE FROM aiq_claims WHERE at_ms <= now_ms - kept_ms;
        INSERT INTO aiq_claims (worker, number, lease_id, jobs, at_ms)
        VALUES (claimer, claim, lease, '[' || array_to_string(given, ', ') || ']', now_ms)
        ON CONFLICT (worker) DO UPDATE SET
            number = excluded.number, lease_id = excluded.lease_id, jobs = excluded.jobs, at_ms = excluded.at_ms;
    END IF;
    IF changes > 0 THEN
        UPDATE aiq_counters AS c SET changes = c.changes + aiq_exchange_4.changes, events = c.events + aiq_exchange_4.changes;
    END IF;
    next_ms := aiq_next_instant_4(now_ms, grace_ms, never_ms);
    next_ms := CASE WHEN next_ms IS NULL THEN -1 ELSE greatest(0, next_ms - now_ms) END;
END
$$;
