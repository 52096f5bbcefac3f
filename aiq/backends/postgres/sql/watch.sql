-- watch: what has changed since a number, for those who wait in another process.
-- spec: STORE-6, LIVE-3, MOVE-8

-- name: tell
-- That there is something new, who says so and perhaps what it is, see notice.py. Else they read it.
SELECT pg_notify(:channel::text, :notice::text);

-- name: news
-- The last change, the address to which the storage has moved, whether jobs were left in transactions of their callers,
-- and, unless too much has changed to name it: jobs that moved, with the queues of those that became ready, jobs whose
-- stream grew (1), and topics that were told by name (2). One row a number. All in one round trip: somebody is idle
-- until then.
SELECT
    o.changes, (SELECT told FROM aiq_moving WHERE state = 'moved'),
    EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL),
    CASE WHEN o.changes > :seen::bigint AND o.changes - :seen::bigint <= :many::bigint THEN (
        SELECT json_agg(json_build_array(name, queue, kind))
        FROM (
            SELECT j.id, CASE WHEN e.target = 'ready' OR e.source IS NULL THEN j.queue END, 0
            FROM aiq_events AS e
            CROSS JOIN LATERAL (SELECT id, queue FROM aiq_jobs WHERE n = e.n OFFSET 0) AS j
            WHERE e.change > :seen::bigint
            UNION ALL
            SELECT j.id, NULL, 1
            FROM aiq_chunks AS c
            CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = c.n OFFSET 0) AS j
            WHERE c.change > :seen::bigint
            UNION ALL
            SELECT t.topic, NULL, 2 FROM aiq_news AS t WHERE t.change > :seen::bigint
        ) AS found(name, queue, kind)
    ) END
FROM aiq_counters AS o;
