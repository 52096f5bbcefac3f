-- events: read the log of transitions.
-- spec: EVENT-1, EVENT-2, EVENT-3, EVENT-4, EVENT-6, EVENT-7, EVENT-9

-- name: span
-- The numbers of the last event that was removed, of the newest that is kept, the last number that was given out, and the
-- storage in whose log they count.
SELECT trimmed, coalesce((SELECT max(change) FROM aiq_events), trimmed), changes, storage_id FROM aiq_counters;

-- name: page
-- With what a tombstone remembers, where the job is gone. OFFSET 0 lets each event look for its own: how many there are
-- is in a parameter, and a planner that has to guess may rather read all jobs.
SELECT coalesce(json_agg(json_build_array(
    e.change, coalesce(j.id, t.id), coalesce(j.task, t.task), coalesce(j.queue, t.queue), e.number, e.transition,
    e.source, e.target, e.fence, e.at_ms, e.cause
)), '[]'::json)
FROM (SELECT * FROM aiq_events WHERE change > :after::bigint ORDER BY change LIMIT :limit::bigint) AS e
LEFT JOIN LATERAL (SELECT id, task, queue FROM aiq_jobs WHERE n = e.n OFFSET 0) AS j ON true
LEFT JOIN LATERAL (SELECT id, task, queue FROM aiq_tombstones WHERE n = e.n OFFSET 0) AS t ON true;

-- name: of_job
SELECT coalesce(json_agg(json_build_array(
    e.change, j.id, j.task, j.queue, e.number, e.transition, e.source, e.target, e.fence, e.at_ms, e.cause
)), '[]'::json)
FROM (
    SELECT * FROM aiq_events WHERE n = :n::bigint AND number > :after::bigint ORDER BY number LIMIT :limit::bigint
) AS e
JOIN aiq_jobs AS j ON j.n = e.n;
