-- configure: count what a new bound of a queue counts.
-- spec: QUEUE-1, LIFO-1

-- name: fresh
-- OR, since IN of both states would imply the condition of no index.
SELECT count(*) FROM aiq_live
WHERE queue = :queue::text AND (state = 'ready' OR state = 'scheduled') AND fence = 0 AND parent_id IS NULL;

-- name: lifo
UPDATE aiq_counters SET lifo = lifo + :more::bigint;
