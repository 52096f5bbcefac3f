-- keys: ordered keys, and the jobs that hold them or stand in their lines.
-- spec: KEY-1, KEY-2, KEY-3, KEY-4, KEY-10, KEY-11, KEY-12, KEY-13, KEY-14, KEY-16

-- name: keys
SELECT coalesce(json_agg(json_build_array(
    k.queue, k.order_key, json_build_array(k.per_key, k.places, k.holders, k.line, k.paused)
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
JOIN aiq_keys AS k ON k.queue = asked.item->>0 AND k.order_key = asked.item->>1;

-- name: put
INSERT INTO aiq_keys (queue, order_key, per_key, places, holders, line, paused)
SELECT
    item->>0, item->>1, (item->2->>0)::bigint, (item->2->>1)::bigint, (item->2->>2)::bigint, (item->2->>3)::bigint,
    (item->2->>4)::boolean::int
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (queue, order_key) DO UPDATE SET
    per_key = excluded.per_key, places = excluded.places, holders = excluded.holders, line = excluded.line,
    paused = excluded.paused;

-- name: forget
DELETE FROM aiq_keys AS k
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE k.queue = item->>0 AND k.order_key = item->>1;

-- name: add
-- New jobs, each where it stands.
INSERT INTO aiq_keyed (n, queue, order_key, stand, root, depth, turn, per_key, while_parked)
SELECT
    (item->>0)::bigint, item->>1, item->>2, (item->>3)::smallint, (item->>4)::bigint, (item->>5)::bigint,
    (item->>0)::bigint, (item->>6)::bigint, item->>7
FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: stand
UPDATE aiq_keyed AS k SET
    stand = (item->>1)::smallint, turn = (item->>2)::bigint, root = (item->>3)::bigint, depth = (item->>4)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE k.n = (item->>0)::bigint;

-- name: keep_out
-- Ready jobs stand in no lane, whatever they stood in.
UPDATE aiq_jobs AS j SET aside = 2, aside_limit = NULL, aside_key = NULL
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item->>0)::bigint;

-- name: let_in
UPDATE aiq_jobs AS j SET aside = 0
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item->>0)::bigint;

-- name: first
-- Of each line the first jobs; keys are told by their place among those that were asked for, from 0.
SELECT coalesce(json_agg(json_build_array(
    asked.place - 1, k.root, -k.depth, k.turn, j.id, j.state, j.wait_key
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, place)
CROSS JOIN LATERAL (
    SELECT h.n, h.root, h.depth, h.turn FROM aiq_keyed AS h
    WHERE h.queue = asked.item->>0 AND h.order_key = asked.item->>1 AND h.stand = 0
    ORDER BY h.root, h.depth DESC, h.turn
    LIMIT :count
) AS k
JOIN aiq_jobs AS j ON j.n = k.n;

-- name: ready_holders
-- Those that hold a key and are ready.
SELECT coalesce(json_agg(json_build_array(k.root, -k.depth, k.turn, j.id)), '[]'::json)
FROM aiq_keyed AS k
JOIN aiq_jobs AS j ON j.n = k.n
WHERE k.queue = :queue AND k.order_key = :order_key AND k.stand = 1 AND j.state = 'ready';
