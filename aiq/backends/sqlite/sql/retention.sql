-- retention: what is kept of what is over, and what is to go of it, the oldest first.
-- spec: KEEP-1, KEEP-2, KEEP-3, KEEP-4, KEEP-6, KEEP-7, KEEP-8, GONE-3, GONE-8

-- name: get
SELECT spec FROM aiq_retention WHERE one = 1;

-- name: put
INSERT INTO aiq_retention (one, spec) VALUES (1, :spec)
ON CONFLICT (one) DO UPDATE SET spec = excluded.spec;

-- name: results_mark
SELECT results_ms, results_n FROM aiq_retention WHERE one = 1;

-- name: mark_results
UPDATE aiq_retention SET results_ms = :at_ms, results_n = :n WHERE one = 1;

-- name: apart
-- Jobs with an instant of their own that has come.
SELECT json_group_array(json_array(go_ms, n, state, finished_at_ms, keep_ms))
FROM (
    SELECT go_ms, n, state, finished_at_ms, keep_ms FROM aiq_jobs
    WHERE go_ms IS NOT NULL AND go_ms <= :now_ms
    ORDER BY go_ms, n
    LIMIT :limit
);

-- name: ended
-- The jobs that ended first in a state.
SELECT json_group_array(json_array(finished_at_ms, n))
FROM (
    SELECT finished_at_ms, n FROM aiq_jobs
    WHERE state = :state AND finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL
    ORDER BY finished_at_ms, n
    LIMIT :limit
);

-- name: count_ended
SELECT
    (
        SELECT count(*) FROM aiq_jobs
        WHERE state = :state AND finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL
    )
    + (SELECT count(*) FROM aiq_jobs INDEXED BY aiq_jobs_apart WHERE go_ms IS NOT NULL AND state = :state);

-- name: put_off
UPDATE aiq_jobs SET put_off_ms = :until_ms WHERE n IN (SELECT value FROM json_each(:ns));

-- name: streams
SELECT json_group_array(json_array(finished_at_ms, n))
FROM (
    SELECT finished_at_ms, n FROM aiq_jobs
    WHERE finished_at_ms IS NOT NULL AND stream_bytes > 0
    ORDER BY finished_at_ms, n
    LIMIT :limit
);

-- name: count_streams
SELECT count(*) FROM aiq_jobs WHERE finished_at_ms IS NOT NULL AND stream_bytes > 0;

-- name: old_chunks
-- With their bytes. They come in the order of their numbers, which is that in which they were written.
SELECT json_group_array(json_array(change, size))
FROM (
    SELECT c.change, length(c.data) AS size
    FROM json_each(:ns) AS asked
    CROSS JOIN aiq_jobs AS j ON j.n = asked.value
    CROSS JOIN aiq_chunks AS c ON c.n = j.n AND c.number < j.chunks
    ORDER BY asked.key, c.number
    LIMIT :room
);

-- name: trimmed_streams
UPDATE aiq_jobs SET stream_bytes = 0
WHERE n IN (SELECT value FROM json_each(:ns))
    AND NOT EXISTS (SELECT 1 FROM aiq_chunks AS c WHERE c.n = aiq_jobs.n AND c.number < aiq_jobs.chunks);

-- name: oldest_events
SELECT json_group_array(json_array(change, at_ms))
FROM (
    SELECT change, at_ms FROM aiq_events
    WHERE change > (SELECT trimmed FROM aiq_counters)
    ORDER BY change
    LIMIT :limit
);

-- name: count_events
SELECT events FROM aiq_counters;

-- name: trim_events
DELETE FROM aiq_events WHERE change <= :last;

-- name: trimmed_events
UPDATE aiq_counters SET events = events - :count, trimmed = :last;

-- name: minutes
SELECT json_group_array(json_array(minute_ms, queue, task))
FROM (
    SELECT minute_ms, queue, task FROM aiq_minutes WHERE minute_ms >= 0 ORDER BY minute_ms, queue, task LIMIT :limit
);

-- name: count_minutes
SELECT count(*) FROM aiq_minutes WHERE minute_ms >= 0;

-- name: forget_minutes
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_minutes
WHERE (minute_ms, queue, task) IN (
    SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]') FROM given
);

-- name: usage
SELECT json_group_array(json_array(minute_ms, scope, owner, model, category))
FROM (
    SELECT minute_ms, scope, owner, model, category FROM aiq_usage INDEXED BY aiq_usage_minutes
    WHERE scope IN ('all', 'tenant') AND minute_ms >= 0
    ORDER BY minute_ms, scope, owner, model, category
    LIMIT :limit
);

-- name: count_usage
SELECT count(*) FROM aiq_usage INDEXED BY aiq_usage_minutes WHERE scope IN ('all', 'tenant') AND minute_ms >= 0;

-- name: forget_usage
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_usage
WHERE (scope, owner, minute_ms, model, category) IN (
    SELECT
        json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[0]'), json_extract(item, '$[3]'),
        json_extract(item, '$[4]')
    FROM given
);

-- name: ids
-- Ids that are free again: no event of theirs is kept.
SELECT json_group_array(n)
FROM (
    SELECT t.n FROM aiq_tombstones AS t
    WHERE t.until_ms <= :now_ms AND NOT EXISTS (SELECT 1 FROM aiq_events AS e WHERE e.n = t.n)
    ORDER BY t.until_ms, t.n
    LIMIT :limit
);

-- name: forget_ids
DELETE FROM aiq_tombstones WHERE n IN (SELECT value FROM json_each(:ns));
