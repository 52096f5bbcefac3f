-- retention: what is kept of what is over, and what is to go of it, the oldest first.
-- spec: KEEP-1, KEEP-2, KEEP-3, KEEP-4, KEEP-6, KEEP-7, KEEP-8, GONE-3, GONE-8

-- name: get
SELECT spec FROM aiq_retention WHERE one = 1;

-- name: put
INSERT INTO aiq_retention (one, spec) VALUES (1, :spec::text)
ON CONFLICT (one) DO UPDATE SET spec = excluded.spec;

-- name: results_mark
SELECT results_ms, results_n FROM aiq_retention WHERE one = 1;

-- name: mark_results
UPDATE aiq_retention SET results_ms = :at_ms::bigint, results_n = :n::bigint WHERE one = 1;

-- name: apart
-- Jobs with an instant of their own that has come.
SELECT coalesce(json_agg(json_build_array(go_ms, n, state, finished_at_ms, keep_ms)), '[]'::json)
FROM (
    SELECT go_ms, n, state, finished_at_ms, keep_ms FROM aiq_ended
    WHERE go_ms IS NOT NULL AND go_ms <= :now_ms::bigint
    ORDER BY go_ms, n
    LIMIT :limit::bigint
) AS j;

-- name: ended
-- The jobs that ended first in a state.
SELECT coalesce(json_agg(json_build_array(finished_at_ms, n)), '[]'::json)
FROM (
    SELECT finished_at_ms, n FROM aiq_ended
    WHERE state = :state::text AND keep_ms IS NULL AND put_off_ms IS NULL
    ORDER BY finished_at_ms, n
    LIMIT :limit::bigint
) AS j;

-- name: count_ended
SELECT
    (
        SELECT count(*) FROM aiq_ended
        WHERE state = :state::text AND keep_ms IS NULL AND put_off_ms IS NULL
    )
    + (SELECT count(*) FROM aiq_ended WHERE go_ms IS NOT NULL AND state = :state::text);

-- name: put_off
-- But for those whose rows somebody holds who is no part of this storage, as in gone.sql.
UPDATE aiq_ended SET put_off_ms = :until_ms::bigint
WHERE n = ANY (ARRAY(
    SELECT j.n
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (
        SELECT n FROM aiq_ended WHERE n = asked.value::bigint LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS j
));

-- name: streams
SELECT coalesce(json_agg(json_build_array(finished_at_ms, n)), '[]'::json)
FROM (
    SELECT finished_at_ms, n FROM aiq_ended WHERE stream_bytes > 0
    ORDER BY finished_at_ms, n
    LIMIT :limit::bigint
) AS j;

-- name: count_streams
SELECT count(*) FROM aiq_ended WHERE stream_bytes > 0;

-- name: old_chunks
-- With their bytes. They come in the order of their numbers, which is that in which they were written.
SELECT coalesce(json_agg(json_build_array(change, size)), '[]'::json)
FROM (
    SELECT c.change, octet_length(c.data) AS size
    FROM jsonb_array_elements_text(:ns::jsonb) WITH ORDINALITY AS asked(value, key)
    JOIN aiq_ended AS j ON j.n = asked.value::bigint
    JOIN aiq_chunks AS c ON c.n = j.n AND c.number < j.chunks
    ORDER BY asked.key, c.number
    LIMIT :room::bigint
) AS r;

-- name: trimmed_streams
UPDATE aiq_ended SET stream_bytes = 0
WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)))
    AND NOT EXISTS (SELECT 1 FROM aiq_chunks AS c WHERE c.n = aiq_ended.n AND c.number < aiq_ended.chunks);

-- name: oldest_events
SELECT coalesce(json_agg(json_build_array(change, at_ms)), '[]'::json)
FROM (
    SELECT change, at_ms FROM aiq_events
    WHERE change > (SELECT trimmed FROM aiq_counters)
    ORDER BY change
    LIMIT :limit::bigint
) AS e;

-- name: count_events
SELECT events FROM aiq_counters;

-- name: trim_events
-- All up to the last. The first is named too, so that a plan made for any numbers takes them for few.
DELETE FROM aiq_events WHERE change >= (SELECT min(change) FROM aiq_events) AND change <= :last::bigint;

-- name: trimmed_events
UPDATE aiq_counters SET events = events - :count::bigint, trimmed = :last::bigint;

-- name: minutes
SELECT coalesce(json_agg(json_build_array(minute_ms, queue, task)), '[]'::json)
FROM (
    SELECT minute_ms, queue, task FROM aiq_minutes
    WHERE minute_ms >= 0
    ORDER BY minute_ms, queue, task
    LIMIT :limit::bigint
) AS m;

-- name: count_minutes
SELECT count(*) FROM aiq_minutes WHERE minute_ms >= 0;

-- name: forget_minutes
DELETE FROM aiq_minutes AS m
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE m.minute_ms = (item->>0)::bigint AND m.queue = item->>1 AND m.task = item->>2;

-- name: usage
SELECT coalesce(json_agg(json_build_array(minute_ms, scope, owner, model, category)), '[]'::json)
FROM (
    SELECT minute_ms, scope, owner, model, category FROM aiq_usage
    WHERE scope IN ('all', 'tenant') AND minute_ms >= 0
    ORDER BY minute_ms, scope, owner, model, category
    LIMIT :limit::bigint
) AS u;

-- name: count_usage
SELECT count(*) FROM aiq_usage WHERE scope IN ('all', 'tenant') AND minute_ms >= 0;

-- name: forget_usage
DELETE FROM aiq_usage AS u
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE u.minute_ms = (item->>0)::bigint AND u.scope = item->>1 AND u.owner = item->>2 AND u.model = item->>3
    AND u.category = item->>4;

-- name: ids
-- Ids that are free again: no event of theirs is kept.
SELECT coalesce(json_agg(n), '[]'::json)
FROM (
    SELECT t.n FROM aiq_tombstones AS t
    WHERE t.until_ms <= :now_ms::bigint AND NOT EXISTS (SELECT 1 FROM aiq_events AS e WHERE e.n = t.n)
    ORDER BY t.until_ms, t.n
    LIMIT :limit::bigint
) AS free;

-- name: forget_ids
DELETE FROM aiq_tombstones
WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));
