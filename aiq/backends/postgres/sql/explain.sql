-- explain: what stands before a job.
-- spec: WHY-1, KEY-15

-- name: upstream
-- Of the jobs that it depends on those that have not ended, by their place.
SELECT coalesce(json_agg(json_build_array(asked.key, j.id)), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) WITH ORDINALITY AS asked(value, key)
JOIN aiq_jobs AS j ON j.id = asked.value
WHERE j.state NOT IN ('succeeded', 'dead', 'cancelled');

-- name: gate
SELECT wake_at_ms FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part;

-- name: standing
-- Whether its queue is paused; how many jobs of its line go before it, how many of more urgent bands are ready, and how
-- many lines of its pool and band have less service.
SELECT
    EXISTS (SELECT 1 FROM aiq_queues AS q WHERE q.name = :queue AND q.paused = 1),
    (
        SELECT count(*) FROM (
            SELECT 1 FROM aiq_live AS j
            WHERE j.queue = :queue AND j.pool = :pool AND j.aside = 0 AND j.band = :band AND j.line = :tenant
                AND j.state = 'ready' AND (j.lane, j.position) < (:lane, :position)
            LIMIT :limit
        ) AS before
    ),
    (
        SELECT count(*) FROM (
            SELECT 1 FROM aiq_live AS j
            WHERE j.queue = :queue AND j.aside < 2 AND j.state = 'ready' AND j.band < :band
            LIMIT :limit
        ) AS urgent
    ),
    (
        SELECT count(*) FROM (
            SELECT 1 FROM aiq_lines AS l
            WHERE l.queue = :queue AND l.pool = :pool AND l.band = :band AND l.jobs > 0 AND l.service < :service
            LIMIT :limit
        ) AS others
    );

-- name: key_line
-- Of those that hold a key and of those in its line who goes first, and how many of the line go before a place.
SELECT
    (
        SELECT j.id FROM aiq_keyed AS k JOIN aiq_jobs AS j ON j.n = k.n
        WHERE k.queue = :queue AND k.order_key = :order_key AND k.stand = 1 AND k.stand < 2
        ORDER BY k.root, k.depth DESC, k.turn LIMIT 1
    ),
    (
        SELECT j.id FROM aiq_keyed AS k JOIN aiq_jobs AS j ON j.n = k.n
        WHERE k.queue = :queue AND k.order_key = :order_key AND k.stand = 0 AND k.stand < 2
        ORDER BY k.root, k.depth DESC, k.turn LIMIT 1
    ),
    (
        SELECT count(*) FROM (
            SELECT 1 FROM aiq_keyed AS k
            WHERE k.queue = :queue AND k.order_key = :order_key AND k.stand = 0 AND k.stand < 2
                AND k.root <= :root::bigint AND (k.root, -k.depth, k.turn) < (:root::bigint, -:depth::bigint, :turn)
            LIMIT :limit
        ) AS before
    );
