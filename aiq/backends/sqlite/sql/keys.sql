-- keys: ordered keys, and the jobs that hold them or stand in their lines.
-- spec: KEY-1, KEY-2, KEY-3, KEY-4, KEY-10, KEY-11, KEY-12, KEY-13, KEY-14, KEY-16

-- name: keys
SELECT json_group_array(json_array(k.queue, k.order_key, json_array(k.per_key, k.places, k.holders, k.line, k.paused)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_keys AS k
    ON k.queue = json_extract(asked.value, '$[0]') AND k.order_key = json_extract(asked.value, '$[1]');

-- name: put
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_keys (queue, order_key, per_key, places, holders, line, paused)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2][0]'),
    json_extract(item, '$[2][1]'), json_extract(item, '$[2][2]'), json_extract(item, '$[2][3]'),
    json_extract(item, '$[2][4]')
FROM given
WHERE true
ON CONFLICT (queue, order_key) DO UPDATE SET
    per_key = excluded.per_key, places = excluded.places, holders = excluded.holders, line = excluded.line,
    paused = excluded.paused;

-- name: forget
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_keys
WHERE (queue, order_key) IN (SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given);

-- name: add
-- New jobs, each where it stands.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_keyed (n, queue, order_key, stand, root, depth, turn, per_key, while_parked)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[0]'), json_extract(item, '$[6]'),
    json_extract(item, '$[7]')
FROM given;

-- name: stand
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_keyed SET
    stand = json_extract(item, '$[1]'), turn = json_extract(item, '$[2]'), root = json_extract(item, '$[3]'),
    depth = json_extract(item, '$[4]')
FROM given
WHERE n = json_extract(item, '$[0]');

-- name: keep_out
-- Ready jobs stand in no lane, whatever they stood in.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET aside = 2, aside_limit = NULL, aside_key = NULL
WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: let_in
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET aside = 0 WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: first
-- Of each line the first jobs. A partial index is used only where its own condition is said too, so `stand < 2` is here
-- and below.
SELECT json_group_array(json_array(asked.key, k.root, -k.depth, k.turn, j.id, j.state, j.wait_key))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_keyed AS k ON k.n IN (
    SELECT h.n FROM aiq_keyed AS h
    WHERE h.queue = json_extract(asked.value, '$[0]') AND h.order_key = json_extract(asked.value, '$[1]')
        AND h.stand = 0 AND h.stand < 2
    ORDER BY h.root, h.depth DESC, h.turn
    LIMIT :count
)
CROSS JOIN aiq_jobs AS j ON j.n = k.n;

-- name: ready_holders
-- Those that hold a key and are ready.
SELECT json_group_array(json_array(k.root, -k.depth, k.turn, j.id))
FROM aiq_keyed AS k
CROSS JOIN aiq_jobs AS j ON j.n = k.n
WHERE k.queue = :queue AND k.order_key = :order_key AND k.stand = 1 AND k.stand < 2 AND j.state = 'ready';
