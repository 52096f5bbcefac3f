-- forgetting: what nobody needs any more, from the oldest on, each kind by an index of its own.
-- spec: TIME-8, CALL-13, LIMIT-17, BUDGET-15, FAIR-6, UNIQ-10

-- name: anything
-- Whether there is anything to look at that last changed at :since_ms or before. The oldest of each kind is asked
-- for, and not whether there is one that is old enough: that could be sought by reading the whole table.
SELECT coalesce(
    (SELECT min(until_ms) FROM aiq_unique WHERE until_ms IS NOT NULL) <= :now_ms::bigint
    OR (SELECT min(closed_at_ms) FROM aiq_reservations WHERE closed_at_ms IS NOT NULL) <= :since_ms::bigint
    OR (SELECT min(touched_at_ms) FROM aiq_limit_states WHERE part <> '') <= :since_ms::bigint
    OR (SELECT min(touched_at_ms) FROM aiq_budget_states WHERE window_ms > 0) <= :since_ms::bigint
    OR (SELECT min(touched_at_ms) FROM aiq_lines WHERE jobs = 0 AND pool <> '') <= :since_ms::bigint
    OR (
        SELECT p.touched_at_ms FROM aiq_pools AS p
        WHERE p.jobs = 0 AND p.name <> '' AND p.touched_at_ms <= :since_ms::bigint AND p.wake_at_ms <= :now_ms::bigint
            AND NOT EXISTS (SELECT 1 FROM aiq_lines AS l WHERE l.queue = p.queue AND l.pool = p.name)
        ORDER BY p.touched_at_ms
        LIMIT 1
    ) IS NOT NULL,
    false
);

-- name: reservations
DELETE FROM aiq_reservations
WHERE ctid = ANY (ARRAY(
    SELECT r.ctid FROM aiq_reservations AS r
    WHERE r.closed_at_ms IS NOT NULL AND r.closed_at_ms <= :since_ms::bigint
    ORDER BY r.closed_at_ms
    LIMIT :limit::bigint
));

-- name: parts
SELECT coalesce(json_agg(json_build_array(s.name, s.part, l.spec::json, s.state::json)), '[]'::json)
FROM (
    SELECT name, part, state FROM aiq_limit_states
    WHERE part <> '' AND touched_at_ms <= :since_ms::bigint
    ORDER BY touched_at_ms, name, part
    LIMIT :limit::bigint
) AS s
JOIN aiq_limits AS l ON l.name = s.name;

-- name: forget_parts
DELETE FROM aiq_limit_states AS s
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.name = item->>0 AND s.part = item->>1;

-- name: touch_parts
UPDATE aiq_limit_states AS s SET touched_at_ms = :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.name = item->>0 AND s.part = item->>1;

-- name: windows
SELECT coalesce(json_agg(json_build_array(s.budget, s.window_ms, b.spec::json, s.state::json)), '[]'::json)
FROM (
    SELECT budget, window_ms, state FROM aiq_budget_states
    WHERE window_ms > 0 AND touched_at_ms <= :since_ms::bigint
    ORDER BY touched_at_ms, budget, window_ms
    LIMIT :limit::bigint
) AS s
JOIN aiq_budgets AS b ON b.id = s.budget;

-- name: forget_grants
-- What was granted in the windows :windows, in their order.
DELETE FROM aiq_grants
WHERE ctid = ANY (ARRAY(
    SELECT g.ctid
    FROM jsonb_array_elements(:windows::jsonb) WITH ORDINALITY AS asked(item, key)
    JOIN aiq_grants AS g
        ON g.budget = asked.item->>0 AND g.window_ms = (asked.item->>1)::bigint AND g.window_ms > 0
    ORDER BY asked.key, g.grant_id
    LIMIT :limit::bigint
));

-- name: forget_windows
-- Those of which no grant is left.
DELETE FROM aiq_budget_states AS s
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.budget = item->>0 AND s.window_ms = (item->>1)::bigint
    AND NOT EXISTS (
        SELECT 1 FROM aiq_grants AS g
        WHERE g.budget = s.budget AND g.window_ms = s.window_ms AND g.window_ms > 0
    );

-- name: touch_windows
UPDATE aiq_budget_states AS s SET touched_at_ms = :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.budget = item->>0 AND s.window_ms = (item->>1)::bigint;

-- name: lines
-- With the least service of the lines of the same pool and band that have jobs, and the row of their pool.
SELECT coalesce(json_agg(json_build_array(
    l.queue, l.pool, l.band, l.tenant, l.service, l.wake_at_ms,
    (
        SELECT min(b.service) FROM aiq_lines AS b
        WHERE b.queue = l.queue AND b.pool = l.pool AND b.band = l.band AND b.jobs > 0
    ),
    p.body::json, (p.jobs = 0 AND p.touched_at_ms <= :since_ms::bigint)::int
)), '[]'::json)
FROM (
    SELECT queue, pool, band, tenant, service, wake_at_ms FROM aiq_lines
    WHERE jobs = 0 AND pool <> '' AND touched_at_ms <= :since_ms::bigint
    ORDER BY touched_at_ms, queue, pool, band, tenant
    LIMIT :limit::bigint
) AS l
LEFT JOIN aiq_pools AS p ON p.queue = l.queue AND p.name = l.pool;

-- name: forget_lines
DELETE FROM aiq_lines AS l
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE l.queue = item->>0 AND l.pool = item->>1 AND l.band = (item->>2)::int AND l.tenant = item->>3;

-- name: touch_lines
UPDATE aiq_lines AS l SET touched_at_ms = :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE l.queue = item->>0 AND l.pool = item->>1 AND l.band = (item->>2)::int AND l.tenant = item->>3;

-- name: pools
DELETE FROM aiq_pools
WHERE ctid = ANY (ARRAY(
    SELECT p.ctid FROM aiq_pools AS p
    WHERE p.jobs = 0 AND p.name <> '' AND p.touched_at_ms <= :since_ms::bigint AND p.wake_at_ms <= :now_ms::bigint
        AND NOT EXISTS (SELECT 1 FROM aiq_lines AS l WHERE l.queue = p.queue AND l.pool = p.name)
    ORDER BY p.touched_at_ms, p.queue, p.name
    LIMIT :limit::bigint
));
