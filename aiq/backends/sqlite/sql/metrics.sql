-- metrics: what happened by minute, queue and task, added up as it happens.
-- spec: METRIC-1, METRIC-2, METRIC-3, METRIC-4

-- name: add
INSERT INTO aiq_minutes (
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
    waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)
VALUES (
    :minute_ms, :queue, :task, :enqueued, :started, :ended, :succeeded, :failed, :retried, :dead, :cancelled,
    :waited_ms, :waited_most_ms, :ran_ms, :ran_most_ms, :tokens, :usd_micros
)
ON CONFLICT (minute_ms, queue, task) DO UPDATE SET
    enqueued = enqueued + excluded.enqueued,
    started = started + excluded.started,
    ended = ended + excluded.ended,
    succeeded = succeeded + excluded.succeeded,
    failed = failed + excluded.failed,
    retried = retried + excluded.retried,
    dead = dead + excluded.dead,
    cancelled = cancelled + excluded.cancelled,
    waited_ms = waited_ms + excluded.waited_ms,
    waited_most_ms = max(waited_most_ms, excluded.waited_most_ms),
    ran_ms = ran_ms + excluded.ran_ms,
    ran_most_ms = max(ran_most_ms, excluded.ran_most_ms),
    tokens = tokens + excluded.tokens,
    usd_micros = usd_micros + excluded.usd_micros;

-- name: starting
-- The jobs that a claim is about to start: how many of each queue and task, and how long they have stood ready.
SELECT json_group_array(json_array(queue, task, jobs, waited_ms, waited_most_ms))
FROM (
    SELECT
        j.queue, j.task, count(*) AS jobs, sum(max(0, :now_ms - j.since_ms)) AS waited_ms,
        max(max(0, :now_ms - j.since_ms)) AS waited_most_ms
    FROM json_each(:ns) AS asked
    CROSS JOIN aiq_jobs AS j ON j.n = asked.value
    GROUP BY j.queue, j.task
);

-- name: page
SELECT json_group_array(json_array(
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled,
    waited_ms, waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
))
FROM (
    SELECT * FROM aiq_minutes
    WHERE (minute_ms, queue, task) > (:minute_ms, :after_queue, :after_task) AND minute_ms >= :since_ms
        AND (:queue IS NULL OR queue = :queue) AND (:task IS NULL OR task = :task)
    ORDER BY minute_ms, queue, task
    LIMIT :limit
);
