-- enqueue: store new jobs that wait for nothing, take nothing and have no key.
-- spec: ENQ-1, ENQ-2, ENQ-4, ENQ-5, ENQ-6, QUEUE-1, LIFO-1, METRIC-1

-- Whether each of some queues has room for as many more jobs as it is named. What is not stored has no bound.
CREATE FUNCTION aiq_has_room_4(queues TEXT[]) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT 1
        FROM (SELECT name, count(*) AS jobs FROM unnest(queues) AS asked(name) GROUP BY name) AS came
        CROSS JOIN LATERAL (SELECT fresh, settings FROM aiq_queues WHERE name = came.name OFFSET 0) AS q
        WHERE q.fresh + came.jobs > (q.settings::json->>'max_ready')::bigint
    );
END
$$;

-- Whether none of some ids was given before, to a job that is there or gone.
CREATE FUNCTION aiq_are_new_4(ids TEXT[]) RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN NOT EXISTS (
        SELECT 1 FROM unnest(ids) AS asked(id)
        CROSS JOIN LATERAL (SELECT 1 FROM aiq_jobs WHERE id = asked.id OFFSET 0) AS j
    ) AND NOT EXISTS (
        SELECT 1 FROM unnest(ids) AS asked(id)
        CROSS JOIN LATERAL (SELECT 1 FROM aiq_tombstones WHERE id = asked.id OFFSET 0) AS t
    );
END
$$;

-- Store new jobs, of which each has an id, a digest and a payload of its own; `kinds` says which of `described` has the
-- rest. Answers the last change before those of this step.
CREATE FUNCTION aiq_store_4(
    now_ms BIGINT, ids TEXT[], digests TEXT[], payloads BYTEA[], kinds INTEGER[], described JSON
) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
DECLARE
    changes_before BIGINT;
BEGIN
    -- One statement: what is given is read once, and each table is written by a part of its own.
    WITH kind AS MATERIALIZED (
        SELECT
            d.*, coalesce(d.at_ms, now_ms + d.delay_ms) AS start_ms, coalesce(q.lifo, false) AS lifo,
            least(d.deadline_ms, now_ms + d.expires_ms) AS until_ms
        FROM json_to_recordset(described) AS d(
            kind integer, task text, queue text, band smallint, lease_ms bigint, max_attempts bigint,
            max_stalls bigint, delay_ms bigint, at_ms bigint, deadline_ms bigint, expires_ms bigint, keep_ms bigint,
            timeout_ms bigint, max_deferral_ms bigint, flow text, key text, on_upstream text, origin text
        )
        LEFT JOIN LATERAL (
            SELECT (settings::json->>'lifo')::boolean AS lifo FROM aiq_queues WHERE name = d.queue OFFSET 0
        ) AS q ON true
    ), given AS MATERIALIZED (
        SELECT
            k.*, g.id, g.digest, g.payload, g.place, k.start_ms <= now_ms AS ready,
            count(*) FILTER (WHERE k.start_ms <= now_ms) OVER (ORDER BY g.place) AS turn
        FROM unnest(ids, digests, payloads, kinds) WITH ORDINALITY AS g(id, digest, payload, kind, place)
        JOIN kind AS k ON k.kind = g.kind
    ), counted AS (
        UPDATE aiq_counters AS c SET
            jobs = c.jobs + came.jobs, positions = c.positions + came.ready, changes = c.changes + came.jobs,
            events = c.events + came.jobs
        FROM (SELECT count(*) AS jobs, count(*) FILTER (WHERE ready) AS ready FROM given) AS came
        RETURNING c.jobs - came.jobs AS jobs, c.positions - came.ready AS positions, c.changes - came.jobs AS changes
    ), stored AS (
        INSERT INTO aiq_live (
            n, id, state, queue, band, pool, tenant, lane, position, due_ms, task, lease_ms, max_attempts, max_stalls,
            delay_ms, at_ms, deadline_ms, flow, on_upstream, order_key, max_deferral_ms, keep_ms, events,
            created_at_ms, since_ms
        )
        SELECT
            c.jobs + place, id, CASE WHEN ready THEN 'ready' ELSE 'scheduled' END, queue, band, '', '', 1,
            CASE WHEN NOT ready THEN 0 WHEN lifo THEN -(c.positions + turn) ELSE c.positions + turn END,
            CASE WHEN NOT ready THEN start_ms END, task, lease_ms, max_attempts, max_stalls, delay_ms, at_ms, until_ms,
            flow, on_upstream, key, max_deferral_ms, keep_ms, 1, now_ms, now_ms
        FROM given CROSS JOIN counted AS c
    ), specs AS (
        INSERT INTO aiq_specs (n, digest, payload, timeout_ms, depends_on, limits, routes, origin)
        SELECT c.jobs + place, digest, payload, timeout_ms, '[]', '[]', '[]', origin FROM given CROSS JOIN counted AS c
    ), told AS (
        INSERT INTO aiq_events (change, n, number, at_ms, transition, target, fence)
        SELECT c.changes + place, c.jobs + place, 1, now_ms, 'T1', CASE WHEN ready THEN 'ready' ELSE 'scheduled' END, 0
        FROM given CROSS JOIN counted AS c
    ), figures AS (
        INSERT INTO aiq_minutes AS kept (
            minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
            waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
        )
        SELECT now_ms - now_ms % 60000, queue, task, count(*), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0
        FROM given
        GROUP BY queue, task
        ON CONFLICT (minute_ms, queue, task) DO UPDATE SET enqueued = kept.enqueued + excluded.enqueued
    ), bounded AS (
        UPDATE aiq_queues AS q SET fresh = q.fresh + came.jobs
        FROM (SELECT queue, count(*) AS jobs FROM given GROUP BY queue) AS came
        WHERE q.name = came.queue AND q.settings::json->>'max_ready' IS NOT NULL
    )
    SELECT changes INTO changes_before FROM counted;
    RETURN changes_before;
END
$$;

-- The same as a step. Answers the instant, and that change. NULL where an id is known or a queue full, or where jobs were
-- left that are to be stored first.
CREATE FUNCTION aiq_enqueue_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    ids TEXT[], digests TEXT[], payloads BYTEA[], kinds INTEGER[], queues TEXT[], described JSON
) RETURNS BIGINT[]
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
BEGIN
    IF now_ms IS NULL OR aiq_any_left_4() OR NOT aiq_has_room_4(queues) OR NOT aiq_are_new_4(ids) THEN
        RETURN NULL;
    END IF;
    RETURN ARRAY[now_ms, aiq_store_4(now_ms, ids, digests, payloads, kinds, described)];
END
$$;
