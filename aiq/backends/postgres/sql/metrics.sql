-- metrics: what happened by minute, queue and task, added up as it happens.
-- spec: METRIC-1, METRIC-2, METRIC-3, METRIC-4

-- name: add
INSERT INTO aiq_minutes AS kept (
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
    waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)
VALUES (
    :minute_ms, :queue, :task, :enqueued, :started, :ended, :succeeded, :failed, :retried, :dead, :cancelled,
    :waited_ms, :waited_most_ms, :ran_ms, :ran_most_ms, :tokens, :usd_micros
)
ON CONFLICT (minute_ms, queue, task) DO UPDATE SET
    enqueued = kept.enqueued + excluded.enqueued,
    started = kept.started + excluded.started,
    ended = kept.ended + excluded.ended,
    succeeded = kept.succeeded + excluded.succeeded,
    failed = kept.failed + excluded.failed,
    retried = kept.retried + excluded.retried,
    dead = kept.dead + excluded.dead,
    cancelled = kept.cancelled + excluded.cancelled,
    waited_ms = kept.waited_ms + excluded.waited_ms,
    waited_most_ms = greatest(kept.waited_most_ms, excluded.waited_most_ms),
    ran_ms = kept.ran_ms + excluded.ran_ms,
    ran_most_ms = greatest(kept.ran_most_ms, excluded.ran_most_ms),
    tokens = kept.tokens + excluded.tokens,
    usd_micros = kept.usd_micros + excluded.usd_micros;

-- name: starting
-- The jobs that a claim is about to start: how many of each queue and task, and how long they have stood ready.
SELECT coalesce(json_agg(json_build_array(queue, task, jobs, waited_ms, waited_most_ms)), '[]'::json)
FROM (
    SELECT
        j.queue, j.task, count(*) AS jobs, sum(greatest(0, :now_ms::bigint - j.since_ms))::bigint AS waited_ms,
        max(greatest(0, :now_ms::bigint - j.since_ms)) AS waited_most_ms
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(n)
    JOIN aiq_live AS j ON j.n = asked.n::bigint
    GROUP BY j.queue, j.task
) AS found;

-- name: page
SELECT coalesce(json_agg(json_build_array(
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
    waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)), '[]'::json)
FROM (
    SELECT * FROM aiq_minutes
    WHERE (minute_ms, queue, task) > (:minute_ms, :after_queue, :after_task) AND minute_ms >= :since_ms
        AND (:queue::text IS NULL OR queue = :queue::text) AND (:task::text IS NULL OR task = :task::text)
    ORDER BY minute_ms, queue, task
    LIMIT :limit
) AS found;
