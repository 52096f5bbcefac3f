-- gates: where jobs of one line stand aside that one limit by key refuses.
-- spec: LIMIT-16, POOL-3

-- name: shut
INSERT INTO aiq_gates (queue, pool, band, tenant, name, part, wake_at_ms)
VALUES (:queue, :pool, :band, :tenant, :name, :part, :wake_at_ms)
ON CONFLICT (queue, pool, band, tenant, name, part) DO UPDATE SET
    wake_at_ms = min(wake_at_ms, excluded.wake_at_ms);

-- name: set_aside
UPDATE aiq_jobs SET aside = 1, aside_limit = :name, aside_key = :part WHERE n = :n;

-- name: first
-- Behind each of some gates the job that may go through it, and whether another stays.
SELECT json_group_array(json_array(
    j.position, asked.key, j.lane, j.id, j.n,
    json(CASE WHEN EXISTS (
        SELECT 1 FROM aiq_jobs AS other
        WHERE other.aside = 1 AND other.queue = j.queue AND other.pool = j.pool AND other.band = j.band
            AND other.line = j.line AND other.aside_limit = j.aside_limit AND other.aside_key = j.aside_key
            AND other.n <> j.n
    ) THEN 'true' ELSE 'false' END)
))
FROM json_each(:gates) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = (
    SELECT n FROM aiq_jobs
    WHERE aside = 1 AND queue = json_extract(asked.value, '$[0]') AND pool = json_extract(asked.value, '$[1]')
        AND band = json_extract(asked.value, '$[2]') AND line = json_extract(asked.value, '$[3]')
        AND aside_limit = json_extract(asked.value, '$[4]') AND aside_key = json_extract(asked.value, '$[5]')
    ORDER BY lane, position
    LIMIT 1
);

-- name: let_through
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET aside = 0, aside_limit = NULL, aside_key = NULL
WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: keep_shut
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_gates SET wake_at_ms = json_extract(item, '$[6]')
FROM given
WHERE queue = json_extract(item, '$[0]') AND pool = json_extract(item, '$[1]') AND band = json_extract(item, '$[2]')
    AND tenant = json_extract(item, '$[3]') AND name = json_extract(item, '$[4]') AND part = json_extract(item, '$[5]');

-- name: remove
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_gates
WHERE (queue, pool, band, tenant, name, part) IN (
    SELECT
        json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
        json_extract(item, '$[4]'), json_extract(item, '$[5]')
    FROM given
);

-- name: drop_if_empty
DELETE FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part
    AND NOT EXISTS (
        SELECT 1 FROM aiq_jobs AS j
        WHERE j.aside = 1 AND j.queue = :queue AND j.pool = :pool AND j.band = :band AND j.line = :tenant
            AND j.aside_limit = :name AND j.aside_key = :part
    );

-- name: queues_behind
SELECT json_group_array(queue) FROM (SELECT DISTINCT queue FROM aiq_gates WHERE name = :name AND part = :part);

-- name: free
UPDATE aiq_gates SET wake_at_ms = 0 WHERE name = :name AND part = :part;

-- name: due
SELECT json_group_array(json_array(queue, pool, band, tenant, name, part))
FROM (
    SELECT queue, pool, band, tenant, name, part FROM aiq_gates
    WHERE queue = :queue AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, pool, band, tenant, name, part
    LIMIT :limit
);
