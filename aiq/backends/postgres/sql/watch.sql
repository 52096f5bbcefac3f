-- watch: what has changed since a number, for those who wait in another process.
-- spec: STORE-6, LIVE-3, MOVE-8

-- name: tell
-- That there is something new, and nothing else: what it is, they read.
SELECT pg_notify(:channel::text, '');

-- name: last
-- With the address to which the storage has moved, and whether jobs were left in transactions of their callers.
SELECT
    changes, (SELECT told FROM aiq_moving WHERE state = 'moved'),
    EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL)
FROM aiq_counters;

-- name: jobs
-- Jobs that moved, with the queues of those that became ready, jobs whose stream grew (1), and topics that were told
-- by name (2). One row a number.
SELECT j.id, CASE WHEN e.target = 'ready' OR e.source IS NULL THEN j.queue END, 0
FROM aiq_events AS e
JOIN aiq_jobs AS j ON j.n = e.n
WHERE e.change > :seen AND e.change <= :last
UNION ALL
SELECT j.id, NULL, 1
FROM aiq_chunks AS c
JOIN aiq_jobs AS j ON j.n = c.n
WHERE c.change > :seen AND c.change <= :last
UNION ALL
SELECT t.topic, NULL, 2 FROM aiq_news AS t WHERE t.change > :seen AND t.change <= :last;
