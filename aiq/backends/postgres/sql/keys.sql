-- keys: ordered keys, and the jobs that hold them or stand in their lines.
-- Why its questions are fenced, and keys compared with arrays of one, is told in fan_in.sql.
-- spec: KEY-1, KEY-2, KEY-3, KEY-4, KEY-10, KEY-11, KEY-12, KEY-13, KEY-14, KEY-16

-- name: keys
SELECT coalesce(json_agg(json_build_array(
    k.queue, k.order_key, json_build_array(k.per_key, k.places, k.holders, k.line, k.paused)
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT * FROM aiq_keys WHERE queue = asked.item->>0 AND order_key = asked.item->>1 LIMIT 1
) AS k;

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
WHERE k.queue = ANY (ARRAY[item->>0]) AND k.order_key = item->>1;

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
WHERE k.n = ANY (ARRAY[(item->>0)::bigint]);

-- name: keep_out
-- Ready jobs stand in no lane, whatever they stood in.
UPDATE aiq_live SET aside = 2, aside_limit = NULL, aside_key = NULL
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: let_in
UPDATE aiq_live SET aside = 0
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

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
CROSS JOIN LATERAL (SELECT id, state, wait_key FROM aiq_jobs WHERE n = k.n LIMIT 1) AS j;

-- name: ready_holders
-- Those that hold a key and are ready.
SELECT coalesce(json_agg(json_build_array(k.root, -k.depth, k.turn, j.id)), '[]'::json)
FROM (
    SELECT n, root, depth, turn FROM aiq_keyed
    WHERE queue = :queue AND order_key = :order_key AND stand = 1
    OFFSET 0
) AS k
CROSS JOIN LATERAL (SELECT id, state FROM aiq_jobs WHERE n = k.n LIMIT 1) AS j
WHERE j.state = 'ready';
