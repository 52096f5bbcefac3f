-- enqueue: store new jobs, with what they wait for.
-- spec: ENQ-2, ENQ-3, ENQ-4, ENQ-5, ENQ-6, FLOW-1, FLOW-6, FLOW-8, FLOW-16, FAN-5, KEY-13

-- name: standing
-- Those that are stored, and with a number of 0 those that are gone. OFFSET 0 lets each be looked for by itself: to a
-- planner that finds no job yet it is the same to read all of them, and the first batches of a storage make it many.
SELECT coalesce(json_agg(json_build_array(id, n, state, digest, parent_id, child_of)), '[]'::json)
FROM (
    SELECT j.id, j.n, j.state, s.digest, j.parent_id, s.child_of
    FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT id, n, state, parent_id FROM aiq_jobs WHERE id = asked.value OFFSET 0) AS j
    CROSS JOIN LATERAL (SELECT digest, child_of FROM aiq_specs WHERE n = j.n OFFSET 0) AS s
    UNION ALL
    SELECT t.id, 0, t.state, t.digest, NULL, NULL
    FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT id, state, digest FROM aiq_tombstones WHERE id = asked.value OFFSET 0) AS t
) AS found;

-- name: job
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, wait_key, task, lease_ms, max_attempts,
    max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key, dependents, gated,
    patience_end_ms, max_deferral_ms, keep_ms, events, created_at_ms, since_ms
)
SELECT
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, wait_key, task, lease_ms, max_attempts,
    max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key, dependents::int,
    gated::int, patience_end_ms, max_deferral_ms, keep_ms, 1, :now_ms::bigint, :now_ms::bigint
FROM json_to_recordset(:rows::json) AS given(
    n bigint, id text, state text, queue text, band smallint, pool text, tenant text, lane smallint, position bigint,
    due_ms bigint, wait_key text, task text, lease_ms bigint, max_attempts bigint, max_stalls bigint, delay_ms bigint,
    at_ms bigint, deadline_ms bigint, flow text, parent_id text, on_upstream text, order_key text, unique_key text,
    dependents boolean, gated boolean, patience_end_ms bigint, max_deferral_ms bigint, keep_ms bigint
);

-- name: spec
INSERT INTO aiq_specs (n, digest, payload, timeout_ms, child_of, depends_on, limits, routes, origin)
SELECT
    n, digest, substring(:blobs::bytea FROM (payload->>0)::int FOR (payload->>1)::int), timeout_ms, child_of,
    depends_on, '[]', '[]', origin
FROM json_to_recordset(:rows::json) AS given(
    n bigint, digest text, payload json, timeout_ms bigint, child_of text, depends_on text, origin text
);

-- name: leave
-- Children that do not go with their parent; few are like that, so the others do not say that they do.
UPDATE aiq_specs AS s SET on_parent = 'leave'
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.n = (item->>0)::bigint;

-- name: parent
-- Where a child that has become a parent itself stands in its tree.
SELECT root, depth FROM aiq_specs WHERE n = :n::bigint;

-- name: branch
-- Where children stand in their tree.
UPDATE aiq_specs AS s SET root = (item->>1)::bigint, depth = (item->>2)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE s.n = (item->>0)::bigint;

-- name: terms
INSERT INTO aiq_terms (n, terms)
SELECT (item->>0)::bigint, item->>1 FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: edge
-- From a job to one that waits for it; there may be ten thousand, so the columns are found by place.
INSERT INTO aiq_edges (upstream, dependent, wait_key, dependent_id, ended, succeeded)
SELECT
    (item->>0)::bigint, (item->>1)::bigint, item->>2, item->>3, (item->>4)::bigint, (item->>5)::boolean::int
FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: awaited
UPDATE aiq_jobs AS j SET dependents = 1
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item->>0)::bigint AND j.dependents = 0;

-- name: spawned
UPDATE aiq_jobs SET children = 1, events = events + 1 WHERE n = :n::bigint;
