-- audit: look for what a clause forbids. Each statement names the jobs that break one, and trusts nothing else.
-- spec: STATE-3

-- name: lease
SELECT id FROM aiq_jobs
WHERE (state = 'running') <> (lease_id IS NOT NULL) OR (state = 'running') <> (owner IS NOT NULL)
    OR (state = 'running') <> (expires_at_ms IS NOT NULL)
LIMIT :limit;

-- name: finished
SELECT id FROM aiq_jobs
WHERE (state IN ('succeeded', 'dead', 'cancelled')) <> (finished_at_ms IS NOT NULL)
LIMIT :limit;

-- name: scheduled
SELECT id FROM aiq_jobs WHERE state = 'scheduled' AND due_ms IS NULL LIMIT :limit;

-- name: parked
SELECT id FROM aiq_jobs WHERE state IN ('waiting', 'suspended') AND wait_key IS NULL LIMIT :limit;

-- name: result
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN aiq_results AS r ON r.n = j.n
WHERE (j.state = 'succeeded') <> (r.n IS NOT NULL)
LIMIT :limit;

-- name: spec
SELECT j.id FROM aiq_jobs AS j LEFT JOIN aiq_specs AS s ON s.n = j.n WHERE s.n IS NULL LIMIT :limit;

-- name: event_numbers
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (SELECT n, count(*) AS stored, max(number) AS last FROM aiq_events GROUP BY n) AS e ON e.n = j.n
WHERE j.events <> coalesce(e.stored, 0) OR j.events <> coalesce(e.last, 0)
LIMIT :limit;

-- name: event_chain
SELECT j.id
FROM (
    SELECT
        n, number, source, target,
        lag(target) OVER (PARTITION BY n ORDER BY number) AS before
    FROM aiq_events
) AS e
JOIN aiq_jobs AS j ON j.n = e.n
WHERE e.source IS NOT e.before OR (e.number = j.events AND e.target <> j.state)
LIMIT :limit;

-- name: fence
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (SELECT n, count(*) AS claims FROM aiq_events WHERE transition = 'T3' GROUP BY n) AS e ON e.n = j.n
WHERE j.fence <> coalesce(e.claims, 0)
LIMIT :limit;

-- name: chunk_numbers
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (SELECT n, count(*) AS stored, max(number) AS last FROM aiq_chunks GROUP BY n) AS c ON c.n = j.n
WHERE j.chunks <> coalesce(c.stored, 0) OR j.chunks <> coalesce(c.last, 0)
LIMIT :limit;

-- name: stream_end
SELECT j.id
FROM aiq_jobs AS j
JOIN aiq_chunks AS c ON c.n = j.n AND c.number = j.chunks
WHERE (j.state = 'succeeded') <> (c.kind = 'end') OR (j.state = 'dead') <> (c.kind = 'error')
    OR (j.state = 'cancelled') <> (c.kind = 'cancelled')
LIMIT :limit;

-- name: kept_signals
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (SELECT n, sum(kept) AS kept FROM aiq_signals GROUP BY n) AS s ON s.n = j.n
WHERE j.kept_signals <> coalesce(s.kept, 0)
LIMIT :limit;

-- name: steps
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (SELECT n, count(*) AS stored FROM aiq_steps GROUP BY n) AS s ON s.n = j.n
WHERE j.steps <> coalesce(s.stored, 0)
LIMIT :limit;

-- name: edges
SELECT e.dependent_id
FROM aiq_edges AS e
LEFT JOIN aiq_jobs AS d ON d.n = e.dependent AND d.id = e.dependent_id
LEFT JOIN aiq_jobs AS u ON u.n = e.upstream
WHERE d.n IS NULL OR u.n IS NULL
LIMIT :limit;

-- name: wait_counts
SELECT coalesce(j.id, w.n)
FROM aiq_waits AS w
LEFT JOIN aiq_jobs AS j ON j.n = w.n
LEFT JOIN (
    SELECT dependent, wait_key, count(*) AS total, sum(succeeded) AS succeeded, sum(ended > 0) AS ended
    FROM aiq_edges
    GROUP BY dependent, wait_key
) AS e ON e.dependent = w.n AND e.wait_key = w.wait_key
WHERE j.n IS NULL OR w.total <> coalesce(e.total, 0) OR w.succeeded <> coalesce(e.succeeded, 0)
    OR w.succeeded + w.failed <> coalesce(e.ended, 0)
LIMIT :limit;

-- name: untold
SELECT e.dependent_id
FROM aiq_edges AS e
JOIN aiq_jobs AS u ON u.n = e.upstream
WHERE e.ended = 0 AND u.state IN ('succeeded', 'dead', 'cancelled')
    AND NOT EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.kind = 'flip' AND o.n = e.upstream)
LIMIT :limit;

-- name: outbox
SELECT o.n FROM aiq_outbox AS o LEFT JOIN aiq_jobs AS j ON j.n = o.n WHERE j.n IS NULL LIMIT :limit;

-- name: positions
SELECT id FROM aiq_jobs
WHERE state = 'ready' AND position IN (
    SELECT position FROM aiq_jobs WHERE state = 'ready' GROUP BY position HAVING count(*) > 1
)
LIMIT :limit;

-- name: waiting
-- What each waiting job waits for, and whether upkeep is about to end it.
SELECT
    j.id, j.on_upstream, EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.kind = 'die' AND o.n = j.n),
    w.wait_key, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed
FROM aiq_jobs AS j
JOIN aiq_waits AS w ON w.n = j.n AND w.wait_key = j.wait_key
WHERE j.state = 'waiting';

-- name: file
-- Each row in exactly the indexes that it belongs to, and the file itself whole.
SELECT integrity_check FROM pragma_integrity_check;
