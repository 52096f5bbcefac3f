-- enqueue: store new jobs, with what they wait for.
-- spec: ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, FLOW-1, FLOW-6, FLOW-8, FLOW-16, FAN-5, KEY-13

-- name: standing
-- Those that are stored, and with a number of 0 those that are gone.
SELECT json_group_array(json_array(id, n, state, digest, parent_id, child_of))
FROM (
    SELECT j.id, j.n, j.state, s.digest, j.parent_id, s.child_of
    FROM json_each(:ids) AS asked
    CROSS JOIN aiq_jobs AS j ON j.id = asked.value
    JOIN aiq_specs AS s ON s.n = j.n
    UNION ALL
    SELECT t.id, 0, t.state, t.digest, NULL, NULL
    FROM json_each(:ids) AS asked
    CROSS JOIN aiq_tombstones AS t ON t.id = asked.value
);

-- name: job
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, wait_key, task, lease_ms, max_attempts,
    max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key, dependents, gated,
    patience_end_ms, max_deferral_ms, keep_ms, events, created_at_ms, since_ms
)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.id'), json_extract(item, '$.state'),
    json_extract(item, '$.queue'), json_extract(item, '$.band'), json_extract(item, '$.pool'),
    json_extract(item, '$.tenant'), json_extract(item, '$.lane'), json_extract(item, '$.position'),
    json_extract(item, '$.due_ms'), json_extract(item, '$.wait_key'), json_extract(item, '$.task'),
    json_extract(item, '$.lease_ms'), json_extract(item, '$.max_attempts'), json_extract(item, '$.max_stalls'),
    json_extract(item, '$.delay_ms'), json_extract(item, '$.at_ms'), json_extract(item, '$.deadline_ms'),
    json_extract(item, '$.flow'), json_extract(item, '$.parent_id'), json_extract(item, '$.on_upstream'),
    json_extract(item, '$.order_key'), json_extract(item, '$.unique_key'), json_extract(item, '$.dependents'),
    json_extract(item, '$.gated'), json_extract(item, '$.patience_end_ms'), json_extract(item, '$.max_deferral_ms'),
    json_extract(item, '$.keep_ms'), 1, :now_ms, :now_ms
FROM given;

-- name: spec
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_specs (n, digest, payload, timeout_ms, child_of, depends_on, limits, routes, origin)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.digest'),
    substr(:blobs, json_extract(item, '$.payload[0]'), json_extract(item, '$.payload[1]')),
    json_extract(item, '$.timeout_ms'), json_extract(item, '$.child_of'), json_extract(item, '$.depends_on'), '[]', '[]',
    json_extract(item, '$.origin')
FROM given;

-- name: leave
-- Children that do not go with their parent; few are like that, so the others do not say that they do.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_specs SET on_parent = 'leave' WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: parent
-- Where a child that has become a parent itself stands in its tree.
SELECT root, depth FROM aiq_specs WHERE n = :n;

-- name: branch
-- Where children stand in their tree.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_specs SET root = json_extract(item, '$[1]'), depth = json_extract(item, '$[2]')
FROM given
WHERE n = json_extract(item, '$[0]');

-- name: terms
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_terms (n, terms)
SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given;

-- name: edge
-- From a job to one that waits for it; there may be ten thousand, so the columns are found by place.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_edges (upstream, dependent, wait_key, dependent_id, ended, succeeded)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]')
FROM given;

-- name: awaited
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET dependents = 1
WHERE n IN (SELECT json_extract(item, '$[0]') FROM given) AND dependents = 0;

-- name: spawned
UPDATE aiq_jobs SET children = 1, events = events + 1 WHERE n = :n;
