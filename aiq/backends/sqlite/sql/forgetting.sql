-- forgetting: what nobody needs any more, from the oldest on, each kind by an index of its own.
-- spec: TIME-8, CALL-13, LIMIT-17, BUDGET-15, FAIR-6, UNIQ-10

-- name: anything
-- Whether there is anything to look at that last changed at :since_ms or before.
SELECT
    EXISTS (SELECT 1 FROM aiq_unique WHERE until_ms IS NOT NULL AND until_ms <= :now_ms)
    OR EXISTS (SELECT 1 FROM aiq_reservations WHERE closed_at_ms IS NOT NULL AND closed_at_ms <= :since_ms)
    OR EXISTS (SELECT 1 FROM aiq_limit_states WHERE part <> '' AND touched_at_ms <= :since_ms)
    OR EXISTS (SELECT 1 FROM aiq_budget_states WHERE window_ms > 0 AND touched_at_ms <= :since_ms)
    OR EXISTS (SELECT 1 FROM aiq_lines WHERE jobs = 0 AND pool <> '' AND touched_at_ms <= :since_ms)
    OR EXISTS (
        SELECT 1 FROM aiq_pools AS p
        WHERE jobs = 0 AND name <> '' AND touched_at_ms <= :since_ms AND wake_at_ms <= :now_ms
            AND NOT EXISTS (SELECT 1 FROM aiq_lines AS l WHERE l.queue = p.queue AND l.pool = p.name)
    );

-- name: reservations
DELETE FROM aiq_reservations
WHERE (job_id, fence, call) IN (
    SELECT job_id, fence, call FROM aiq_reservations
    WHERE closed_at_ms IS NOT NULL AND closed_at_ms <= :since_ms
    ORDER BY closed_at_ms
    LIMIT :limit
);

-- name: parts
SELECT json_group_array(json_array(s.name, s.part, json(l.spec), json(s.state)))
FROM (
    SELECT name, part, state FROM aiq_limit_states
    WHERE part <> '' AND touched_at_ms <= :since_ms
    ORDER BY touched_at_ms, name, part
    LIMIT :limit
) AS s
CROSS JOIN aiq_limits AS l ON l.name = s.name;

-- name: forget_parts
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_limit_states
WHERE (name, part) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given);

-- name: touch_parts
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_limit_states SET touched_at_ms = :now_ms
WHERE (name, part) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given);

-- name: windows
SELECT json_group_array(json_array(s.budget, s.window_ms, json(b.spec), json(s.state)))
FROM (
    SELECT budget, window_ms, state FROM aiq_budget_states
    WHERE window_ms > 0 AND touched_at_ms <= :since_ms
    ORDER BY touched_at_ms, budget, window_ms
    LIMIT :limit
) AS s
CROSS JOIN aiq_budgets AS b ON b.id = s.budget;

-- name: forget_grants
-- What was granted in the windows :windows, in their order.
DELETE FROM aiq_grants
WHERE (budget, grant_id) IN (
    SELECT g.budget, g.grant_id
    FROM json_each(:windows) AS asked
    CROSS JOIN aiq_grants AS g
        ON g.budget = json_extract(asked.value, '$[0]') AND g.window_ms = json_extract(asked.value, '$[1]')
            AND g.window_ms > 0
    ORDER BY asked.key, g.grant_id
    LIMIT :limit
);

-- name: forget_windows
-- Those of which no grant is left.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_budget_states
WHERE (budget, window_ms) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given)
    AND NOT EXISTS (
        SELECT 1 FROM aiq_grants AS g
        WHERE g.budget = aiq_budget_states.budget AND g.window_ms = aiq_budget_states.window_ms AND g.window_ms > 0
    );

-- name: touch_windows
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_budget_states SET touched_at_ms = :now_ms
WHERE (budget, window_ms) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given);

-- name: lines
-- With the least service of the lines of the same pool and band that have jobs, and the row of their pool.
SELECT json_group_array(json_array(
    l.queue, l.pool, l.band, l.tenant, l.service, l.wake_at_ms,
    (
        SELECT min(b.service) FROM aiq_lines AS b INDEXED BY aiq_lines_busy
        WHERE b.queue = l.queue AND b.pool = l.pool AND b.band = l.band AND b.jobs > 0
    ),
    json(p.body), p.jobs = 0 AND p.touched_at_ms <= :since_ms
))
FROM (
    SELECT queue, pool, band, tenant, service, wake_at_ms FROM aiq_lines
    WHERE jobs = 0 AND pool <> '' AND touched_at_ms <= :since_ms
    ORDER BY touched_at_ms, queue, pool, band, tenant
    LIMIT :limit
) AS l
LEFT JOIN aiq_pools AS p ON p.queue = l.queue AND p.name = l.pool;

-- name: forget_lines
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_lines
WHERE (queue, pool, band, tenant) IN (
    SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]')
    FROM given
);

-- name: touch_lines
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_lines SET touched_at_ms = :now_ms
WHERE (queue, pool, band, tenant) IN (
    SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]')
    FROM given
);

-- name: pools
DELETE FROM aiq_pools
WHERE (queue, name) IN (
    SELECT p.queue, p.name FROM aiq_pools AS p
    WHERE p.jobs = 0 AND p.name <> '' AND p.touched_at_ms <= :since_ms AND p.wake_at_ms <= :now_ms
        AND NOT EXISTS (SELECT 1 FROM aiq_lines AS l WHERE l.queue = p.queue AND l.pool = p.name)
    ORDER BY p.touched_at_ms, p.queue, p.name
    LIMIT :limit
);
