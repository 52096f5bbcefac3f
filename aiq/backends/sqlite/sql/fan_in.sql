-- fan_in: edges between jobs, the waits that count them, and the outbox of what did not fit into a step.
-- spec: FAN-1, FAN-2, FAN-3, FAN-7, FLOW-12, FLOW-13

-- name: open_edges
SELECT json_group_array(json_array(dependent_id, wait_key, dependent))
FROM (
    SELECT dependent_id, wait_key, dependent
    FROM aiq_edges
    WHERE upstream = :n AND ended = 0
    ORDER BY dependent_id, wait_key
    LIMIT :limit
);

-- name: edges_ahead
-- Those of many jobs; as many as the limit mean that there may be more.
SELECT json_group_array(json_array(upstream, dependent_id, wait_key, dependent))
FROM (
    SELECT e.upstream, e.dependent_id, e.wait_key, e.dependent
    FROM json_each(:ns) AS asked
    CROSS JOIN aiq_edges AS e ON e.upstream = asked.value AND e.ended = 0
    LIMIT :limit
);

-- name: waits_ahead
-- Those of many jobs, under the keys that they wait under.
SELECT json_group_array(json_array(w.n, w.wait_key, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed))
FROM json_each(:places) AS asked
CROSS JOIN aiq_waits AS w
    ON w.n = json_extract(asked.value, '$[0]') AND w.wait_key = json_extract(asked.value, '$[1]');

-- name: flip
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_edges SET
    ended = json_extract(item, '$.ended'), succeeded = json_extract(item, '$.succeeded')
FROM given
WHERE dependent = json_extract(item, '$.dependent') AND wait_key = json_extract(item, '$.key')
    AND upstream = json_extract(item, '$.upstream');

-- name: put_wait
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_waits (n, wait_key, total, succeeded, failed, need, rest, first_failed)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.key'), json_extract(item, '$.total'),
    json_extract(item, '$.succeeded'), json_extract(item, '$.failed'), json_extract(item, '$.need'),
    json_extract(item, '$.rest'), json_extract(item, '$.first_failed')
FROM given
WHERE true
ON CONFLICT (n, wait_key) DO UPDATE SET
    total = excluded.total, succeeded = excluded.succeeded, failed = excluded.failed, need = excluded.need,
    rest = excluded.rest, first_failed = excluded.first_failed;

-- name: winners
SELECT json_group_array(json_array(ended, id))
FROM (
    SELECT e.ended, j.id
    FROM aiq_edges AS e
    JOIN aiq_jobs AS j ON j.n = e.upstream
    WHERE e.dependent = :n AND e.wait_key = :key AND e.succeeded = 1
    ORDER BY e.ended
    LIMIT :limit
);

-- name: living_child
SELECT 1 FROM aiq_jobs
WHERE parent_id = :parent_id AND state NOT IN ('succeeded', 'dead', 'cancelled')
LIMIT 1;

-- name: send_out
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_outbox (kind, n, wait_key)
SELECT json_extract(item, '$.kind'), json_extract(item, '$.n'), json_extract(item, '$.key') FROM given;
