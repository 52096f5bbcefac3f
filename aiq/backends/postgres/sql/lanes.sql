-- lanes: pools, the lines in them, and what of these stands aside.
-- spec: FAIR-1, FAIR-3, FAIR-4, POOL-1, POOL-3, POOL-5, POOL-6, LIMIT-15, LIMIT-16, BAND-3

-- name: pools
-- Here and wherever many rows are looked up at once: a subquery with a LIMIT is run for each key. A plain join may read
-- the whole table instead, since the planner takes any list for a hundred keys.
SELECT coalesce(json_agg(json_build_array(p.queue, p.name, p.body::json)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT queue, name, body FROM aiq_pools WHERE queue = item->>0 AND name = item->>1 LIMIT 1
) AS p;

-- name: pools_of_queue
-- Those that jobs stand in, parked or not. What stands in them is not looked at.
SELECT coalesce(json_agg(json_build_array(queue, name, body::json)), '[]'::json)
FROM aiq_pools
WHERE queue = :queue AND jobs > 0;

-- name: put_pools
INSERT INTO aiq_pools (queue, name, wake_at_ms, parked_by, jobs, body, touched_at_ms)
SELECT item->>0, item->>1, (item->>2)::bigint, item->>3, (item->>4)::bigint, item->>5, :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (queue, name) DO UPDATE SET
    wake_at_ms = excluded.wake_at_ms, parked_by = excluded.parked_by, jobs = excluded.jobs, body = excluded.body,
    touched_at_ms = excluded.touched_at_ms;

-- name: drop_pools
DELETE FROM aiq_pools
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE queue = ANY (ARRAY[item->>0]) AND name = item->>1;

-- name: plain_bands
-- The bands in which jobs stand in the plain pool. The order is that of the index: without it a band of which there is
-- none may be looked for in the whole table.
SELECT coalesce(json_agg(possible.band), '[]'::json)
FROM generate_series(0, 3) AS possible(band)
CROSS JOIN LATERAL (
    SELECT 1 FROM aiq_live AS j
    WHERE j.queue = :queue AND j.pool = '' AND j.aside = 0 AND j.band = possible.band AND j.state = 'ready'
    ORDER BY j.line, j.lane, j.position
    LIMIT 1
) AS found;

-- name: lines
SELECT coalesce(json_agg(json_build_array(
    asked.key - 1, json_build_array(l.tenant, l.digest, l.service, l.jobs, l.wake_at_ms, l.parked_by)
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT tenant, digest, service, jobs, wake_at_ms, parked_by FROM aiq_lines
    WHERE queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND tenant = item->>3
    LIMIT 1
) AS l;

-- name: first_lines
-- Of each band of a pool the open lines whose turn is first.
SELECT coalesce(json_agg(json_build_array(
    asked.key - 1, json_build_array(l.tenant, l.digest, l.service, l.jobs, l.wake_at_ms, l.parked_by)
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT tenant, digest, service, jobs, wake_at_ms, parked_by FROM aiq_lines
    WHERE queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND jobs > 0 AND wake_at_ms = 0
    ORDER BY service, digest
    LIMIT :count
) AS l;

-- name: fronts
-- Of each open pool the most urgent band with an open line, and the least position of the heads of all its bands. Most
-- pools have one band: then that is two looks for lines, and one for a job.
SELECT coalesce(json_agg(json_build_array(found.rank, found.position, p.name)), '[]'::json)
FROM aiq_pools AS p
CROSS JOIN LATERAL (
    SELECT band, tenant FROM aiq_lines
    WHERE queue = p.queue AND pool = p.name AND jobs > 0 AND wake_at_ms = 0
    ORDER BY band, service, digest
    LIMIT 1
) AS first
LEFT JOIN LATERAL (
    SELECT band FROM aiq_lines
    WHERE queue = p.queue AND pool = p.name AND band > first.band AND jobs > 0 AND wake_at_ms = 0
    ORDER BY band
    LIMIT 1
) AS second ON true
CROSS JOIN LATERAL (
    SELECT min(next.band) AS rank, min(head.position) AS position
    FROM (
        SELECT first.band, first.tenant
        UNION ALL
        SELECT line.band, line.tenant
        FROM generate_series(second.band, 3) AS other(band)
        CROSS JOIN LATERAL (
            SELECT band, tenant FROM aiq_lines
            WHERE queue = p.queue AND pool = p.name AND band = other.band AND jobs > 0 AND wake_at_ms = 0
            ORDER BY service, digest
            LIMIT 1
        ) AS line
    ) AS next
    CROSS JOIN LATERAL (
        SELECT j.position FROM aiq_live AS j
        WHERE j.queue = p.queue AND j.pool = p.name AND j.aside = 0 AND j.band = next.band AND j.line = next.tenant
            AND j.state = 'ready'
        ORDER BY j.lane, j.position
        LIMIT 1
    ) AS head
) AS found
WHERE p.queue = :queue AND p.name <> '' AND p.jobs > 0 AND p.wake_at_ms = 0 AND found.rank IS NOT NULL;

-- name: next_lines
-- Those whose turn is after that of :service and :digest, by their turn.
SELECT coalesce(json_agg(json_build_array(tenant, digest, service, jobs, wake_at_ms, parked_by)), '[]'::json)
FROM (
    SELECT tenant, digest, service, jobs, wake_at_ms, parked_by
    FROM aiq_lines
    WHERE queue = :queue AND pool = :pool AND band = :band AND jobs > 0 AND wake_at_ms = 0
        AND (service, digest) > (:service, :digest)
    ORDER BY service, digest
    LIMIT :count
) AS next;

-- name: least_lines
-- Those with the least service, parked ones too.
SELECT coalesce(json_agg(json_build_array(service, tenant)), '[]'::json)
FROM (
    SELECT service, tenant FROM aiq_lines
    WHERE queue = :queue AND pool = :pool AND band = :band AND jobs > 0
    ORDER BY service
    LIMIT :count
) AS least;

-- name: floors
-- Of each band of a pool the lines with the least service, parked ones too.
SELECT coalesce(json_agg(json_build_array(asked.key - 1, json_build_array(l.service, l.tenant))), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT service, tenant FROM aiq_lines
    WHERE queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND jobs > 0
    ORDER BY service
    LIMIT :count
) AS l;

-- name: put_lines
INSERT INTO aiq_lines (queue, pool, band, tenant, digest, service, jobs, wake_at_ms, parked_by, touched_at_ms)
SELECT
    item->>0, item->>1, (item->>2)::smallint, line->>0, line->>1, (line->>2)::bigint, (line->>3)::bigint,
    (line->>4)::bigint, line->>5, :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
CROSS JOIN LATERAL (SELECT item->3 AS line) AS row
ON CONFLICT (queue, pool, band, tenant) DO UPDATE SET
    service = excluded.service, jobs = excluded.jobs, wake_at_ms = excluded.wake_at_ms, parked_by = excluded.parked_by,
    touched_at_ms = excluded.touched_at_ms;

-- name: anything_aside
SELECT
    EXISTS (SELECT 1 FROM aiq_pools WHERE wake_at_ms > 0), EXISTS (SELECT 1 FROM aiq_lines WHERE wake_at_ms > 0),
    EXISTS (SELECT 1 FROM aiq_gates);

-- name: pools_behind
-- From that limit to that limit, in the order of the index that is meant: a plan that was made of an empty table takes
-- any index of what is parked for as good.
SELECT coalesce(json_agg(json_build_array(queue, name, body::json)), '[]'::json)
FROM (
    SELECT queue, name, body FROM aiq_pools
    WHERE parked_by >= :name AND parked_by <= :name AND wake_at_ms > 0
    ORDER BY parked_by, queue, name
) AS behind;

-- name: due_pools
SELECT coalesce(json_agg(json_build_array(queue, name, body::json)), '[]'::json)
FROM (
    SELECT queue, name, body FROM aiq_pools
    WHERE queue = :queue AND wake_at_ms > 0 AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, name
    LIMIT :limit
) AS due;

-- name: lines_behind
-- As `pools_behind`.
SELECT coalesce(json_agg(json_build_array(queue, pool, band, tenant)), '[]'::json)
FROM (
    SELECT queue, pool, band, tenant FROM aiq_lines
    WHERE (parked_by, tenant) >= (:name, :part) AND (parked_by, tenant) <= (:name, :part) AND wake_at_ms > 0
    ORDER BY parked_by, tenant
) AS behind;

-- name: due_lines
SELECT coalesce(json_agg(json_build_array(queue, pool, band, tenant)), '[]'::json)
FROM (
    SELECT queue, pool, band, tenant FROM aiq_lines
    WHERE queue = :queue AND wake_at_ms > 0 AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, pool, band, tenant
    LIMIT :limit
) AS due;
