-- lanes: pools, the lines in them, and what of these stands aside.
-- spec: FAIR-1, FAIR-3, FAIR-4, POOL-1, POOL-3, POOL-5, POOL-6, LIMIT-15, LIMIT-16, BAND-3

-- name: pools
SELECT json_group_array(json_array(p.queue, p.name, json(p.body)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_pools AS p
    ON p.queue = json_extract(asked.value, '$[0]') AND p.name = json_extract(asked.value, '$[1]');

-- name: pools_of_queue
-- Those that jobs stand in, parked or not. What stands in them is not looked at.
SELECT json_group_array(json_array(queue, name, json(body))) FROM aiq_pools WHERE queue = :queue AND jobs > 0;

-- name: put_pools
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_pools (queue, name, wake_at_ms, parked_by, jobs, body, touched_at_ms)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), :now_ms
FROM given
WHERE true
ON CONFLICT (queue, name) DO UPDATE SET
    wake_at_ms = excluded.wake_at_ms, parked_by = excluded.parked_by, jobs = excluded.jobs, body = excluded.body,
    touched_at_ms = excluded.touched_at_ms;

-- name: drop_pools
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_pools
WHERE (queue, name) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given);

-- name: plain_bands
-- The bands in which jobs stand in the plain pool.
SELECT json_group_array(band)
FROM (SELECT 0 AS band UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS possible
WHERE EXISTS (
    SELECT 1 FROM aiq_jobs AS j
    WHERE j.queue = :queue AND j.pool = '' AND j.aside = 0 AND j.band = possible.band AND j.state = 'ready'
);

-- name: lines
SELECT json_group_array(json_array(
    asked.key, json_array(l.tenant, l.digest, l.service, l.jobs, l.wake_at_ms, l.parked_by)
))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_lines AS l
    ON l.queue = json_extract(asked.value, '$[0]') AND l.pool = json_extract(asked.value, '$[1]')
    AND l.band = json_extract(asked.value, '$[2]') AND l.tenant = json_extract(asked.value, '$[3]');

-- name: first_lines
-- Of each band of a pool the open lines whose turn is first.
SELECT json_group_array(json_array(
    asked.key, json_array(l.tenant, l.digest, l.service, l.jobs, l.wake_at_ms, l.parked_by)
))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_lines AS l
    ON l.queue = json_extract(asked.value, '$[0]') AND l.pool = json_extract(asked.value, '$[1]')
    AND l.band = json_extract(asked.value, '$[2]') AND l.tenant IN (
        SELECT o.tenant FROM aiq_lines AS o INDEXED BY aiq_lines_open
        WHERE o.queue = json_extract(asked.value, '$[0]') AND o.pool = json_extract(asked.value, '$[1]')
            AND o.band = json_extract(asked.value, '$[2]') AND o.jobs > 0 AND o.wake_at_ms = 0
        ORDER BY o.service, o.digest
        LIMIT :count
    );

-- name: fronts
-- Of each open pool the most urgent band with an open line, and the least position of the heads of all its bands. Most
-- pools have one band: then that is two looks for lines, and one for a job. `first` is that band and its next tenant.
WITH
open_pools AS MATERIALIZED (
    SELECT p.name, (
        SELECT l.band || l.tenant FROM aiq_lines AS l INDEXED BY aiq_lines_open
        WHERE l.queue = :queue AND l.pool = p.name AND l.jobs > 0 AND l.wake_at_ms = 0
        ORDER BY l.band, l.service, l.digest
        LIMIT 1
    ) AS first
    FROM aiq_pools AS p
    WHERE p.queue = :queue AND p.name <> '' AND p.jobs > 0 AND p.wake_at_ms = 0
),
next_lines AS MATERIALIZED (
    SELECT name, CAST(substr(first, 1, 1) AS INTEGER) AS band, substr(first, 2) AS tenant
    FROM open_pools
    WHERE first IS NOT NULL
    UNION ALL
    SELECT open_pools.name, b.band, (
        SELECT l.tenant FROM aiq_lines AS l INDEXED BY aiq_lines_open
        WHERE l.queue = :queue AND l.pool = open_pools.name AND l.band = b.band AND l.jobs > 0 AND l.wake_at_ms = 0
        ORDER BY l.service, l.digest
        LIMIT 1
    )
    FROM open_pools
    CROSS JOIN (SELECT 1 AS band UNION ALL SELECT 2 UNION ALL SELECT 3) AS b
    WHERE EXISTS (
        SELECT 1 FROM aiq_lines AS l INDEXED BY aiq_lines_open
        WHERE l.queue = :queue AND l.pool = open_pools.name AND l.jobs > 0 AND l.wake_at_ms = 0
            AND l.band > CAST(substr(open_pools.first, 1, 1) AS INTEGER)
    ) AND b.band > CAST(substr(open_pools.first, 1, 1) AS INTEGER)
),
heads AS MATERIALIZED (
    SELECT next_lines.name, next_lines.band, (
        SELECT j.position FROM aiq_jobs AS j INDEXED BY aiq_jobs_ready
        WHERE j.queue = :queue AND j.pool = next_lines.name AND j.aside = 0 AND j.band = next_lines.band
            AND j.line = next_lines.tenant AND j.state = 'ready'
        ORDER BY j.lane, j.position
        LIMIT 1
    ) AS position
    FROM next_lines
    WHERE next_lines.tenant IS NOT NULL
)
SELECT json_group_array(json_array(rank, position, name))
FROM (SELECT name, min(band) AS rank, min(position) AS position FROM heads WHERE position IS NOT NULL GROUP BY name);

-- name: next_lines
-- Those whose turn is after that of :service and :digest, by their turn.
SELECT json_group_array(json_array(tenant, digest, service, jobs, wake_at_ms, parked_by))
FROM (
    SELECT tenant, digest, service, jobs, wake_at_ms, parked_by
    FROM aiq_lines INDEXED BY aiq_lines_open
    WHERE queue = :queue AND pool = :pool AND band = :band AND jobs > 0 AND wake_at_ms = 0
        AND (service, digest) > (:service, :digest)
    ORDER BY service, digest
    LIMIT :count
);

-- name: least_lines
-- Those with the least service, parked ones too.
SELECT json_group_array(json_array(service, tenant))
FROM (
    SELECT service, tenant FROM aiq_lines INDEXED BY aiq_lines_busy
    WHERE queue = :queue AND pool = :pool AND band = :band AND jobs > 0
    ORDER BY service
    LIMIT :count
);

-- name: floors
-- Of each band of a pool the lines with the least service, parked ones too.
SELECT json_group_array(json_array(asked.key, json_array(l.service, l.tenant)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_lines AS l
    ON l.queue = json_extract(asked.value, '$[0]') AND l.pool = json_extract(asked.value, '$[1]')
    AND l.band = json_extract(asked.value, '$[2]') AND l.tenant IN (
        SELECT b.tenant FROM aiq_lines AS b INDEXED BY aiq_lines_busy
        WHERE b.queue = json_extract(asked.value, '$[0]') AND b.pool = json_extract(asked.value, '$[1]')
            AND b.band = json_extract(asked.value, '$[2]') AND b.jobs > 0
        ORDER BY b.service
        LIMIT :count
    );

-- name: put_lines
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_lines (queue, pool, band, tenant, digest, service, jobs, wake_at_ms, parked_by, touched_at_ms)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3][0]'),
    json_extract(item, '$[3][1]'), json_extract(item, '$[3][2]'), json_extract(item, '$[3][3]'),
    json_extract(item, '$[3][4]'), json_extract(item, '$[3][5]'), :now_ms
FROM given
WHERE true
ON CONFLICT (queue, pool, band, tenant) DO UPDATE SET
    service = excluded.service, jobs = excluded.jobs, wake_at_ms = excluded.wake_at_ms, parked_by = excluded.parked_by,
    touched_at_ms = excluded.touched_at_ms;

-- name: anything_aside
SELECT
    EXISTS (SELECT 1 FROM aiq_pools WHERE wake_at_ms > 0), EXISTS (SELECT 1 FROM aiq_lines WHERE wake_at_ms > 0),
    EXISTS (SELECT 1 FROM aiq_gates);

-- name: pools_behind
SELECT json_group_array(json_array(queue, name, json(body))) FROM aiq_pools WHERE parked_by = :name AND wake_at_ms > 0;

-- name: due_pools
SELECT json_group_array(json_array(queue, name, json(body)))
FROM (
    SELECT queue, name, body FROM aiq_pools INDEXED BY aiq_pools_due
    WHERE queue = :queue AND wake_at_ms > 0 AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, name
    LIMIT :limit
);

-- name: lines_behind
SELECT json_group_array(json_array(queue, pool, band, tenant))
FROM aiq_lines INDEXED BY aiq_lines_parked
WHERE parked_by = :name AND tenant = :part AND wake_at_ms > 0;

-- name: due_lines
SELECT json_group_array(json_array(queue, pool, band, tenant))
FROM (
    SELECT queue, pool, band, tenant FROM aiq_lines INDEXED BY aiq_lines_due
    WHERE queue = :queue AND wake_at_ms > 0 AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, pool, band, tenant
    LIMIT :limit
);
