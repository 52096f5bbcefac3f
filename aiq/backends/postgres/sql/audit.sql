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
    AND NOT (j.state = 'succeeded' AND j.finished_at_ms <= (SELECT coalesce(max(results_ms), -1) FROM aiq_retention))
LIMIT :limit;

-- name: spec
SELECT j.id FROM aiq_jobs AS j LEFT JOIN aiq_specs AS s ON s.n = j.n WHERE s.n IS NULL LIMIT :limit;

-- name: event_numbers
-- The counters are looked up, not joined: a planner that does not know that theirs is one row compares all with all.
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (
    SELECT n, count(*) AS stored, min(number) AS first, max(number) AS last FROM aiq_events GROUP BY n
) AS e ON e.n = j.n
WHERE j.events <> coalesce(e.last, j.events) OR e.last - e.first + 1 <> e.stored
    OR ((SELECT trimmed FROM aiq_counters) = 0 AND coalesce(e.first, 0) <> 1)
LIMIT :limit;

-- name: event_chain
SELECT j.id
FROM (
    SELECT
        n, number, source, target,
        lag(target) OVER (PARTITION BY n ORDER BY number) AS before,
        lag(number) OVER (PARTITION BY n ORDER BY number) AS before_number
    FROM aiq_events
) AS e
JOIN aiq_jobs AS j ON j.n = e.n
WHERE (e.source IS DISTINCT FROM e.before AND (e.number = 1 OR e.before_number IS NOT NULL))
    OR (e.number = j.events AND e.target <> j.state)
LIMIT :limit;

-- name: fence
SELECT j.id
FROM aiq_jobs AS j
JOIN (
    SELECT n, count(*) FILTER (WHERE transition = 'T3') AS claims, min(number) AS first FROM aiq_events GROUP BY n
) AS e ON e.n = j.n
WHERE e.first = 1 AND j.fence <> e.claims
LIMIT :limit;

-- name: chunk_numbers
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN (
    SELECT n, count(*) AS stored, min(number) AS first, max(number) AS last FROM aiq_chunks GROUP BY n
) AS c ON c.n = j.n
WHERE j.chunks <> coalesce(c.last, 0) OR c.last - c.first + 1 <> c.stored
    OR (c.first > 1 AND j.finished_at_ms IS NULL AND j.generation = 1)
LIMIT :limit;

-- name: stream_end
SELECT j.id
FROM aiq_jobs AS j
JOIN aiq_chunks AS c ON c.n = j.n AND c.number = j.chunks
WHERE (j.generation = 1 OR j.state IN ('succeeded', 'dead', 'cancelled')) AND (
    (j.state = 'succeeded') <> (c.kind = 'end') OR (j.state = 'dead') <> (c.kind = 'error')
    OR (j.state = 'cancelled') <> (c.kind = 'cancelled')
)
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
WHERE (d.n IS NULL OR u.n IS NULL)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.n = e.dependent)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.n = e.upstream)
LIMIT :limit;

-- name: wait_counts
SELECT coalesce(j.id, w.n::text)
FROM aiq_waits AS w
LEFT JOIN aiq_jobs AS j ON j.n = w.n
LEFT JOIN (
    SELECT
        dependent, wait_key, count(*) AS total, sum(succeeded) AS succeeded,
        count(*) FILTER (WHERE ended > 0) AS ended
    FROM aiq_edges
    GROUP BY dependent, wait_key
) AS e ON e.dependent = w.n AND e.wait_key = w.wait_key
WHERE (j.n IS NULL AND NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.n = w.n)) OR (
    -- What one that has succeeded waited for may be gone before it.
    j.state <> 'succeeded' AND (
        w.total <> coalesce(e.total, 0) OR w.succeeded <> coalesce(e.succeeded, 0)
        OR w.succeeded + w.failed <> coalesce(e.ended, 0)
    )
)
LIMIT :limit;

-- name: untold
SELECT e.dependent_id
FROM aiq_edges AS e
JOIN aiq_jobs AS u ON u.n = e.upstream
WHERE e.ended = 0 AND u.state IN ('succeeded', 'dead', 'cancelled')
    AND NOT EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.kind = 'flip' AND o.n = e.upstream)
    AND NOT EXISTS (
        SELECT 1 FROM aiq_outbox AS o WHERE o.kind = 'redrive' AND o.n = e.dependent AND o.wait_key = e.wait_key
    )
LIMIT :limit;

-- name: outbox
SELECT o.n FROM aiq_outbox AS o LEFT JOIN aiq_jobs AS j ON j.n = o.n WHERE j.n IS NULL LIMIT :limit;

-- name: left_rows
-- Rows of a job that is not stored, nor among those that upkeep still removes rows of.
SELECT DISTINCT l.n
FROM (
    SELECT n, 0 AS removed_later FROM aiq_specs UNION ALL SELECT n, 0 FROM aiq_results
    UNION ALL SELECT n, 0 FROM aiq_errors UNION ALL SELECT n, 0 FROM aiq_terms
    UNION ALL SELECT n, 0 FROM aiq_holds UNION ALL SELECT n, 0 FROM aiq_outbox
    UNION ALL SELECT n, 1 FROM aiq_steps UNION ALL SELECT n, 1 FROM aiq_signals
    UNION ALL SELECT n, 1 FROM aiq_chunks UNION ALL SELECT n, 1 FROM aiq_ranges
) AS l
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.n = l.n)
    AND (l.removed_later = 0 OR NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.n = l.n))
LIMIT :limit;

-- name: left_calls
SELECT r.job_id FROM aiq_reservations AS r
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.id = r.job_id)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS m WHERE m.job_id = r.job_id)
LIMIT :limit;

-- name: left_usage
SELECT u.owner FROM aiq_usage AS u
WHERE u.scope = 'job' AND NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.id = u.owner)
    AND NOT EXISTS (SELECT 1 FROM aiq_remains AS m WHERE m.job_id = u.owner)
LIMIT :limit;

-- name: left_events
SELECT e.n FROM aiq_events AS e
WHERE NOT EXISTS (SELECT 1 FROM aiq_jobs AS j WHERE j.n = e.n)
    AND NOT EXISTS (SELECT 1 FROM aiq_tombstones AS t WHERE t.n = e.n)
LIMIT :limit;

-- name: counted_events
-- Events that a process of an earlier release has written are not counted, and no fewer are kept for that.
SELECT 'the log' FROM aiq_counters WHERE events > (SELECT count(*) FROM aiq_events);

-- name: unique
-- Keys of no job, of another's, of one that has ended, and those taken for a time whose end was not told.
SELECT u.job_id
FROM aiq_unique AS u
LEFT JOIN aiq_jobs AS j ON j.id = u.job_id AND j.task = u.task AND j.unique_key = u.key
WHERE CASE
    WHEN j.n IS NULL THEN u.state IS NULL
    WHEN u.until_ms IS NULL THEN j.finished_at_ms IS NOT NULL
    ELSE u.state IS DISTINCT FROM CASE WHEN j.finished_at_ms IS NOT NULL THEN j.state END
END
LIMIT :limit;

-- name: positions
SELECT id
FROM (SELECT id, count(*) OVER (PARTITION BY position) AS sharing FROM aiq_jobs WHERE state = 'ready') AS j
WHERE sharing > 1
LIMIT :limit;

-- name: dead
SELECT j.id FROM aiq_jobs AS j LEFT JOIN aiq_deaths AS d ON d.n = j.n WHERE (j.state = 'dead') <> (d.n IS NOT NULL)
UNION
SELECT d.n::text FROM aiq_deaths AS d LEFT JOIN aiq_jobs AS j ON j.n = d.n WHERE j.n IS NULL
LIMIT :limit;

-- name: redriven
SELECT j.id FROM aiq_jobs AS j LEFT JOIN aiq_redriven AS r ON r.n = j.n WHERE (j.generation > 1) <> (r.n IS NOT NULL)
UNION
SELECT r.n::text FROM aiq_redriven AS r LEFT JOIN aiq_jobs AS j ON j.n = r.n WHERE j.n IS NULL
LIMIT :limit;

-- name: dead_groups
-- What a group counts, beside the jobs that stand in it.
SELECT fingerprint
FROM (
    SELECT fingerprint, dead FROM aiq_dead_groups
    UNION ALL
    SELECT fingerprint, -1 FROM aiq_deaths
) AS counted
GROUP BY fingerprint
HAVING sum(dead) <> 0
LIMIT :limit;

-- name: slots
SELECT name FROM aiq_schedules WHERE (phase = 'planned') <> (next_ms IS NOT NULL) LIMIT :limit;

-- name: awaited
SELECT s.name
FROM aiq_schedules AS s
LEFT JOIN aiq_jobs AS j ON j.id = s.awaited
WHERE s.phase = 'waiting' AND (j.n IS NULL OR j.finished_at_ms IS NOT NULL OR (j.dependents & 2) = 0)
LIMIT :limit;

-- name: hold
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN aiq_holds AS h ON h.n = j.n
WHERE (j.state = 'held') <> (h.n IS NOT NULL) OR j.held IS DISTINCT FROM h.reason
    OR j.held_by <> coalesce(h.held_by, '')
LIMIT :limit;

-- name: terms
SELECT j.id FROM aiq_terms AS t LEFT JOIN aiq_jobs AS j ON j.n = t.n WHERE j.n IS NULL OR j.gated = 0 LIMIT :limit;

-- name: open_calls
SELECT r.job_id
FROM aiq_reservations AS r
LEFT JOIN aiq_jobs AS j ON j.id = r.job_id
WHERE r.closed_at_ms IS NULL AND (j.n IS NULL OR j.state <> 'running' OR j.fence <> r.fence)
LIMIT :limit;

-- name: waiting_calls
SELECT w.job_id
FROM aiq_waiting AS w
LEFT JOIN aiq_jobs AS j ON j.id = w.job_id
WHERE j.n IS NULL OR j.state <> 'running' OR j.fence <> w.fence
LIMIT :limit;

-- name: lines
-- What a line counts, beside the jobs that stand in it.
SELECT queue || ' ' || pool || ' ' || band || ' ' || tenant
FROM (
    SELECT queue, pool, band, tenant, jobs FROM aiq_lines
    UNION ALL
    SELECT queue, pool, band, line, -1 FROM aiq_jobs WHERE state = 'ready' AND aside = 0 AND pool <> ''
) AS counted
GROUP BY queue, pool, band, tenant
HAVING sum(jobs) <> 0
LIMIT :limit;

-- name: pools
-- The same of a pool, by band and in all.
SELECT queue || ' ' || name
FROM (
    SELECT p.queue, p.name, told.place - 1 AS band, told.jobs::bigint AS jobs
    FROM aiq_pools AS p, json_array_elements_text(p.body::json -> 1) WITH ORDINALITY AS told(jobs, place)
    UNION ALL
    SELECT queue, pool, band, -1 FROM aiq_jobs WHERE state = 'ready' AND aside = 0 AND pool <> ''
) AS counted
GROUP BY queue, name, band
HAVING sum(jobs) <> 0
UNION
SELECT p.queue || ' ' || p.name
FROM aiq_pools AS p
WHERE p.jobs <> (SELECT sum(told.jobs::bigint) FROM json_array_elements_text(p.body::json -> 1) AS told(jobs))
LIMIT :limit;

-- name: credits
SELECT p.queue || ' ' || p.name
FROM
    aiq_pools AS p,
    json_array_elements_text(p.body::json -> 0 -> 'credits') WITH ORDINALITY AS credit(value, place)
WHERE credit.value::bigint > 0 AND NOT EXISTS (
    SELECT 1 FROM aiq_jobs AS j
    WHERE j.queue = p.queue AND j.pool = p.name AND j.aside = 0 AND j.band = credit.place - 1 AND j.state = 'ready'
)
LIMIT :limit;

-- name: gates
-- Jobs that stand behind no gate, and gates that nobody stands behind.
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN aiq_gates AS g
    ON g.queue = j.queue AND g.pool = j.pool AND g.band = j.band AND g.tenant = j.line AND g.name = j.aside_limit
    AND g.part = j.aside_key
WHERE j.aside = 1 AND (j.state <> 'ready' OR g.queue IS NULL)
UNION
SELECT g.queue || ' ' || g.name || ' ' || g.part
FROM aiq_gates AS g
WHERE NOT EXISTS (
    SELECT 1 FROM aiq_jobs AS j
    WHERE j.aside = 1 AND j.queue = g.queue AND j.pool = g.pool AND j.band = g.band AND j.line = g.tenant
        AND j.aside_limit = g.name AND j.aside_key = g.part
)
LIMIT :limit;

-- name: untold_gates
-- Gates that wait to be told of a limit of which nothing is given out, and no job of that line, limit and key stands in
-- a lane. The instant is MAX_INSTANT_MS.
SELECT g.queue || ' ' || g.name || ' ' || g.part
FROM aiq_gates AS g
LEFT JOIN aiq_limit_states AS s ON s.name = g.name AND s.part = g.part
WHERE g.wake_at_ms >= 4503599627370496
    AND coalesce(s.state::json ->> 'running', '0') = '0' AND coalesce(s.state::json ->> 'held', '0') = '0'
    AND NOT EXISTS (
        SELECT 1
        FROM aiq_jobs AS j
        JOIN aiq_terms AS t ON t.n = j.n
        WHERE j.queue = g.queue AND j.pool = g.pool AND j.aside = 0 AND j.band = g.band AND j.line = g.tenant
            AND j.state = 'ready' AND j.order_key = g.part AND strpos(t.terms, '"' || g.name || '"') > 0
    )
LIMIT :limit;

-- name: bounds
SELECT q.name
FROM aiq_queues AS q
WHERE (q.settings::json ->> 'max_ready') IS NOT NULL AND q.fresh <> (
    SELECT count(*) FROM aiq_jobs AS j
    WHERE j.queue = q.name AND j.state IN ('ready', 'scheduled') AND j.fence = 0 AND j.parent_id IS NULL
)
LIMIT :limit;

-- name: keyed
-- An ordered job stands where its state allows; one that has ended is away.
SELECT j.id
FROM aiq_keyed AS k
LEFT JOIN aiq_jobs AS j ON j.n = k.n
WHERE j.n IS NULL OR j.queue <> k.queue OR j.order_key IS DISTINCT FROM k.order_key OR NOT CASE
    WHEN j.state IN ('succeeded', 'dead', 'cancelled', 'held') THEN k.stand = 2
    WHEN j.state IN ('waiting', 'suspended', 'scheduled') AND j.wait_key <> ''
        THEN k.stand = CASE k.while_parked WHEN 'free' THEN 2 ELSE 0 END
    WHEN j.state = 'running' THEN k.stand = 1
    ELSE k.stand < 2
END
LIMIT :limit;

-- name: keyed_lanes
-- A ready one is in no lane if it does not hold its key, or that is paused; and only then.
SELECT j.id
FROM aiq_jobs AS j
LEFT JOIN aiq_keyed AS k ON k.n = j.n
LEFT JOIN aiq_keys AS o ON o.queue = k.queue AND o.order_key = k.order_key
WHERE (j.aside = 2 OR k.n IS NOT NULL)
    AND (j.aside = 2) <> (j.state = 'ready' AND k.n IS NOT NULL AND (k.stand <> 1 OR coalesce(o.paused, 0) <> 0))
LIMIT :limit;

-- name: keys
-- The counts of a key are those of its jobs, and within its places.
SELECT queue || ' ' || order_key
FROM (
    SELECT queue, order_key, holders, line, places FROM aiq_keys
    UNION ALL
    SELECT queue, order_key, -(stand = 1)::int, -(stand = 0)::int, 0 FROM aiq_keyed WHERE stand < 2
) AS counted
GROUP BY queue, order_key
HAVING sum(holders) <> 0 OR sum(line) <> 0
UNION
SELECT queue || ' ' || order_key FROM aiq_keys
WHERE holders > places OR places < per_key OR (holders = 0 AND line = 0 AND paused = 0)
LIMIT :limit;

-- name: key_lines
-- Nobody who is ready is first in the line of a key that has room.
SELECT j.id
FROM aiq_keys AS o
CROSS JOIN LATERAL (
    SELECT h.n FROM aiq_keyed AS h
    WHERE h.queue = o.queue AND h.order_key = o.order_key AND h.stand = 0 AND h.stand < 2
    ORDER BY h.root, h.depth DESC, h.turn
    LIMIT 1
) AS k
JOIN aiq_jobs AS j ON j.n = k.n
WHERE o.holders < o.places AND o.paused = 0 AND j.state = 'ready'
LIMIT :limit;

-- name: turns
-- Who has its first turn has it in the order of enqueueing, and whoever has no parent stands at the top of its tree.
SELECT j.id
FROM aiq_keyed AS k
JOIN aiq_jobs AS j ON j.n = k.n
JOIN aiq_specs AS s ON s.n = k.n
WHERE j.generation = 1 AND k.turn <> k.n
    OR (k.root, k.depth) <> (
        CASE WHEN j.parent_id IS NULL THEN k.turn ELSE s.root END, CASE WHEN j.parent_id IS NULL THEN 0 ELSE s.depth END
    )
LIMIT :limit;

-- name: lifo
SELECT 'queues that give the newest first'
FROM aiq_counters AS c
WHERE c.lifo <> (SELECT count(*) FROM aiq_queues AS q WHERE (q.settings::json ->> 'lifo') = 'true');

-- name: reserved
-- All calls that are open.
SELECT coalesce(json_agg(json_build_array(job_id, fence, call, opened_at_ms, body)), '[]'::json)
FROM aiq_reservations
WHERE closed_at_ms IS NULL;

-- name: limit_states
SELECT coalesce(json_agg(json_build_array(s.name, s.part, l.spec::json, s.state::json)), '[]'::json)
FROM aiq_limit_states AS s
JOIN aiq_limits AS l ON l.name = s.name;

-- name: budget_states
SELECT coalesce(json_agg(json_build_array(budget, window_ms, state::json)), '[]'::json) FROM aiq_budget_states;

-- name: waiting
-- What each waiting job waits for, and whether upkeep is about to end it.
SELECT
    j.id, j.on_upstream, EXISTS (SELECT 1 FROM aiq_outbox AS o WHERE o.kind = 'die' AND o.n = j.n),
    w.wait_key, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed
FROM aiq_jobs AS j
JOIN aiq_waits AS w ON w.n = j.n AND w.wait_key = j.wait_key
WHERE j.state = 'waiting';

-- name: file
-- Indexes that the server does not look at. Whether each row is in those that it belongs to is for `amcheck` to say: it
-- takes the rights of a superuser. And jobs that have ended and have not: either table keeps its own apart, no index both.
SELECT i.relname || ' is not valid'
FROM pg_index AS x
JOIN pg_class AS i ON i.oid = x.indexrelid
JOIN pg_class AS t ON t.oid = x.indrelid
WHERE t.relname LIKE 'aiq\_%' AND pg_table_is_visible(t.oid) AND NOT x.indisvalid
UNION ALL
SELECT min(l.id) || ' stands twice' FROM aiq_live AS l JOIN aiq_ended AS e ON e.id = l.id HAVING count(*) > 0
UNION ALL
SELECT 'number ' || min(l.n) || ' stands twice' FROM aiq_live AS l JOIN aiq_ended AS e ON e.n = l.n HAVING count(*) > 0;
