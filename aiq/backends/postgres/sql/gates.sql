-- gates: where jobs of one line stand aside that one limit by key refuses.
-- spec: LIMIT-16, POOL-3

-- name: find
SELECT wake_at_ms FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part;

-- name: shut
INSERT INTO aiq_gates (queue, pool, band, tenant, name, part, wake_at_ms)
VALUES (:queue, :pool, :band, :tenant, :name, :part, :wake_at_ms)
ON CONFLICT (queue, pool, band, tenant, name, part) DO UPDATE SET wake_at_ms = excluded.wake_at_ms;

-- name: set_aside
UPDATE aiq_jobs SET aside = 1, aside_limit = :name, aside_key = :part WHERE n = :n;

-- name: first
-- Behind each of some gates the job that may go through it, and whether another stays.
SELECT coalesce(json_agg(json_build_array(
    j.position, asked.key - 1, j.lane, j.id, j.n,
    EXISTS (
        SELECT 1 FROM aiq_jobs AS other
        WHERE other.aside = 1 AND other.queue = j.queue AND other.pool = j.pool AND other.band = j.band
            AND other.line = j.line AND other.aside_limit = j.aside_limit AND other.aside_key = j.aside_key
            AND other.n <> j.n
    )
)), '[]'::json)
FROM jsonb_array_elements(:gates::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT n, id, queue, pool, band, line, lane, position, aside_limit, aside_key FROM aiq_jobs
    WHERE aside = 1 AND queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND line = item->>3
        AND aside_limit = item->>4 AND aside_key = item->>5
    ORDER BY lane, position
    LIMIT 1
) AS j;

-- name: let_through
UPDATE aiq_jobs SET aside = 0, aside_limit = NULL, aside_key = NULL
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: keep_shut
UPDATE aiq_gates SET wake_at_ms = (item->>6)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND tenant = item->>3 AND name = item->>4
    AND part = item->>5;

-- name: remove
DELETE FROM aiq_gates
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND tenant = item->>3 AND name = item->>4
    AND part = item->>5;

-- name: drop_if_empty
DELETE FROM aiq_gates
WHERE queue = :queue AND pool = :pool AND band = :band AND tenant = :tenant AND name = :name AND part = :part
    AND NOT EXISTS (
        SELECT 1 FROM aiq_jobs AS j
        WHERE j.aside = 1 AND j.queue = :queue AND j.pool = :pool AND j.band = :band AND j.line = :tenant
            AND j.aside_limit = :name AND j.aside_key = :part
    );

-- name: queues_behind
SELECT coalesce(json_agg(queue), '[]'::json)
FROM (SELECT DISTINCT queue FROM aiq_gates WHERE name = :name AND part = :part) AS behind;

-- name: free
UPDATE aiq_gates SET wake_at_ms = 0 WHERE name = :name AND part = :part;

-- name: due
SELECT coalesce(json_agg(json_build_array(queue, pool, band, tenant, name, part)), '[]'::json)
FROM (
    SELECT queue, pool, band, tenant, name, part FROM aiq_gates
    WHERE queue = :queue AND wake_at_ms <= :now_ms
    ORDER BY wake_at_ms, pool, band, tenant, name, part
    LIMIT :limit
) AS due;
