-- enqueue: store new jobs, with what they wait for.
-- spec: ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, FLOW-1, FLOW-6, FLOW-8, FAN-5

-- name: standing
SELECT json_group_array(json_array(j.id, j.n, j.state, s.digest))
FROM json_each(:ids) AS asked
CROSS JOIN aiq_jobs AS j ON j.id = asked.value
JOIN aiq_specs AS s ON s.n = j.n;

-- name: job
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, wait_key, task, lease_ms, max_attempts,
    max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key, dependents, events,
    created_at_ms
)
SELECT
    json_extract(value, '$.n'), json_extract(value, '$.id'), json_extract(value, '$.state'),
    json_extract(value, '$.queue'), json_extract(value, '$.band'), json_extract(value, '$.pool'),
    json_extract(value, '$.tenant'), json_extract(value, '$.lane'), json_extract(value, '$.position'),
    json_extract(value, '$.due_ms'), json_extract(value, '$.wait_key'), json_extract(value, '$.task'),
    json_extract(value, '$.lease_ms'), json_extract(value, '$.max_attempts'), json_extract(value, '$.max_stalls'),
    json_extract(value, '$.delay_ms'), json_extract(value, '$.at_ms'), json_extract(value, '$.deadline_ms'),
    json_extract(value, '$.flow'), json_extract(value, '$.parent_id'), json_extract(value, '$.on_upstream'),
    json_extract(value, '$.order_key'), json_extract(value, '$.unique_key'), json_extract(value, '$.dependents'), 1,
    :now_ms
FROM json_each(:rows);

-- name: spec
INSERT INTO aiq_specs (n, digest, payload, timeout_ms, child_of, depends_on, limits, routes, estimate, budget)
SELECT
    json_extract(value, '$.n'), json_extract(value, '$.digest'),
    substr(:blobs, json_extract(value, '$.payload[0]'), json_extract(value, '$.payload[1]')),
    json_extract(value, '$.timeout_ms'), json_extract(value, '$.child_of'), json_extract(value, '$.depends_on'),
    json_extract(value, '$.limits'), json_extract(value, '$.routes'),
    substr(:blobs, json_extract(value, '$.estimate[0]'), json_extract(value, '$.estimate[1]')),
    substr(:blobs, json_extract(value, '$.budget[0]'), json_extract(value, '$.budget[1]'))
FROM json_each(:rows);

-- name: edge
-- From a job to one that waits for it; there may be ten thousand, so the columns are found by place.
INSERT INTO aiq_edges (upstream, dependent, wait_key, dependent_id, ended, succeeded)
SELECT
    json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'), json_extract(value, '$[3]'),
    json_extract(value, '$[4]'), json_extract(value, '$[5]')
FROM json_each(:rows);

-- name: awaited
UPDATE aiq_jobs SET dependents = 1
WHERE n IN (SELECT json_extract(value, '$[0]') FROM json_each(:rows)) AND dependents = 0;

-- name: spawned
UPDATE aiq_jobs SET children = 1, events = events + 1 WHERE n = :n;
