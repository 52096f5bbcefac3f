-- gates: where jobs of one line stand aside that one limit by key refuses.
-- A gate is looked up as the first from itself to itself, in the order of its key. So no plan that was made of an empty
-- table takes another index, which seems as good then.
-- spec: LIMIT-16, POOL-3

-- name: shut
INSERT INTO aiq_gates AS gate (queue, pool, band, tenant, name, part, wake_at_ms)
VALUES (:queue, :pool, :band, :tenant, :name, :part, :wake_at_ms)
ON CONFLICT (queue, pool, band, tenant, name, part) DO UPDATE SET
    wake_at_ms = least(gate.wake_at_ms, excluded.wake_at_ms);

-- name: set_aside
UPDATE aiq_live SET aside = 1, aside_limit = :name, aside_key = :part WHERE n = :n;

-- name: first
-- Behind each of some gates the job that may go through it, and whether another stays. Rows that others hold are passed
-- over, as in claim.next.
SELECT coalesce(json_agg(json_build_array(
    j.position, asked.key - 1, j.lane, j.id, j.n,
    EXISTS (
        SELECT 1 FROM aiq_live AS other
        WHERE other.aside = 1 AND other.queue = j.queue AND other.pool = j.pool AND other.band = j.band
            AND other.line = j.line AND other.aside_limit = j.aside_limit AND other.aside_key = j.aside_key
            AND other.n <> j.n
    )
)), '[]'::json)
FROM jsonb_array_elements(:gates::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT n, id, queue, pool, band, line, lane, position, aside_limit, aside_key FROM aiq_live
    WHERE aside = 1 AND queue = item->>0 AND pool = item->>1 AND band = (item->>2)::smallint AND line = item->>3
        AND aside_limit = item->>4 AND aside_key = item->>5
    ORDER BY lane, position
    LIMIT 1
    FOR NO KEY UPDATE SKIP LOCKED
) AS j;

-- name: let_through
UPDATE aiq_live SET aside = 0, aside_limit = NULL, aside_key = NULL
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: keep_shut
UPDATE aiq_gates SET wake_at_ms = found.until_ms
FROM (
    SELECT gate.place, (item->>6)::bigint AS until_ms
    FROM jsonb_array_elements(:rows::jsonb) AS given(item)
    CROSS JOIN LATERAL (
        SELECT item->>0 AS queue, item->>1 AS pool, (item->>2)::smallint AS band, item->>3 AS tenant, item->>4 AS name,
            item->>5 AS part
    ) AS this
    CROSS JOIN LATERAL (
        SELECT g.ctid AS place FROM aiq_gates AS g
        WHERE (g.queue, g.pool, g.band, g.tenant, g.name, g.part)
                >= (this.queue, this.pool, this.band, this.tenant, this.name, this.part)
            AND (g.queue, g.pool, g.band, g.tenant, g.name, g.part)
                <= (this.queue, this.pool, this.band, this.tenant, this.name, this.part)
        ORDER BY g.queue, g.pool, g.band, g.tenant, g.name, g.part
        LIMIT 1
    ) AS gate
) AS found
WHERE ctid = found.place;

-- name: remove
DELETE FROM aiq_gates WHERE ctid = ANY (ARRAY(
    SELECT gate.place
    FROM jsonb_array_elements(:rows::jsonb) AS given(item)
    CROSS JOIN LATERAL (
        SELECT item->>0 AS queue, item->>1 AS pool, (item->>2)::smallint AS band, item->>3 AS tenant, item->>4 AS name,
            item->>5 AS part
    ) AS this
    CROSS JOIN LATERAL (
        SELECT g.ctid AS place FROM aiq_gates AS g
        WHERE (g.queue, g.pool, g.band, g.tenant, g.name, g.part)
                >= (this.queue, this.pool, this.band, this.tenant, this.name, this.part)
            AND (g.queue, g.pool, g.band, g.tenant, g.name, g.part)
                <= (this.queue, this.pool, this.band, this.tenant, this.name, this.part)
        ORDER BY g.queue, g.pool, g.band, g.tenant, g.name, g.part
        LIMIT 1
    ) AS gate
));

-- name: drop_if_empty
DELETE FROM aiq_gates
WHERE ctid = ANY (ARRAY(
        SELECT g.ctid FROM aiq_gates AS g
        WHERE (g.queue, g.pool, g.band, g.tenant, g.name, g.part) >= (:queue, :pool, :band, :tenant, :name, :part)
            AND (g.queue, g.pool, g.band, g.tenant, g.name, g.part) <= (:queue, :pool, :band, :tenant, :name, :part)
        ORDER BY g.queue, g.pool, g.band, g.tenant, g.name, g.part
        LIMIT 1
    ))
    AND NOT EXISTS (
        SELECT 1 FROM aiq_live AS j
        WHERE j.aside = 1 AND j.queue = :queue AND j.pool = :pool AND j.band = :band AND j.line = :tenant
            AND j.aside_limit = :name AND j.aside_key = :part
    );

-- name: queues_behind
SELECT coalesce(json_agg(DISTINCT queue), '[]'::json)
FROM (SELECT queue FROM aiq_gates WHERE name = :name AND part = :part OFFSET 0) AS behind;

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
