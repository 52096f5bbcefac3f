-- configure: count what a new bound of a queue counts.
-- spec: QUEUE-1, LIFO-1

-- name: fresh
SELECT count(*) FROM aiq_jobs
WHERE queue = :queue AND state IN ('ready', 'scheduled') AND fence = 0 AND parent_id IS NULL;

-- name: lifo
UPDATE aiq_counters SET lifo = lifo + :more;
