-- dump: read everything, a page of one kind at a time, in the order of a key behind which it goes on.
-- Each row of a table begins with its key, as far as the columns of :after. What belongs to the rows of a page is looked
-- up for one after the other: without OFFSET 0 the planner may merge whole tables, from their beginning for each page.
-- spec: MOVE-1, MOVE-7

-- name: limits
SELECT coalesce(json_agg(json_build_array(name, spec::json)), '[]'::json)
FROM (
    SELECT name, spec FROM aiq_limits
    WHERE name > :after::jsonb ->> 0 AND NOT starts_with(name, 'queue:') ORDER BY name LIMIT :limit
) AS page;

-- name: queues
SELECT coalesce(json_agg(json_build_array(name, paused, settings::json)), '[]'::json)
FROM (
    SELECT name, paused, settings FROM aiq_queues WHERE name > :after::jsonb ->> 0 ORDER BY name LIMIT :limit
) AS page;

-- name: levels
SELECT coalesce(json_agg(json_build_array(name, part, state::json)), '[]'::json)
FROM (
    SELECT name, part, state FROM aiq_limit_states
    WHERE (name, part) > (:after::jsonb ->> 0, :after::jsonb ->> 1) ORDER BY name, part LIMIT :limit
) AS page;

-- name: budgets
SELECT coalesce(json_agg(json_build_array(id, spec::json)), '[]'::json)
FROM (SELECT id, spec FROM aiq_budgets WHERE id > :after::jsonb ->> 0 ORDER BY id LIMIT :limit) AS page;

-- name: balances
SELECT coalesce(json_agg(json_build_array(budget, window_ms, state::json)), '[]'::json)
FROM (
    SELECT budget, window_ms, state FROM aiq_budget_states
    WHERE (budget, window_ms) > (:after::jsonb ->> 0, (:after::jsonb ->> 1)::bigint)
    ORDER BY budget, window_ms LIMIT :limit
) AS page;

-- name: grants
SELECT coalesce(json_agg(json_build_array(budget, grant_id, window_ms)), '[]'::json)
FROM (
    SELECT budget, grant_id, window_ms FROM aiq_grants
    WHERE (budget, grant_id) > (:after::jsonb ->> 0, :after::jsonb ->> 1)
    ORDER BY budget, grant_id LIMIT :limit
) AS page;

-- name: prices
SELECT coalesce(json_agg(json_build_array(model, category, from_ms, usd_micros_per_million)), '[]'::json)
FROM (
    SELECT model, category, from_ms, usd_micros_per_million FROM aiq_prices
    WHERE (model, category, from_ms) > (:after::jsonb ->> 0, :after::jsonb ->> 1, (:after::jsonb ->> 2)::bigint)
    ORDER BY model, category, from_ms LIMIT :limit
) AS page;

-- name: learned
SELECT coalesce(json_agg(json_build_array(task, model, learned::json)), '[]'::json)
FROM (
    SELECT task, model, learned FROM aiq_learned
    WHERE (task, model) > (:after::jsonb ->> 0, :after::jsonb ->> 1) ORDER BY task, model LIMIT :limit
) AS page;

-- name: tenants
SELECT coalesce(json_agg(json_build_array(tenant, weight)), '[]'::json)
FROM (SELECT tenant, weight FROM aiq_tenants WHERE tenant > :after::jsonb ->> 0 ORDER BY tenant LIMIT :limit) AS page;

-- name: keys
SELECT coalesce(json_agg(json_build_array(queue, order_key, per_key, places, holders, line, paused)), '[]'::json)
FROM (
    SELECT * FROM aiq_keys WHERE (queue, order_key) > (:after::jsonb ->> 0, :after::jsonb ->> 1)
    ORDER BY queue, order_key LIMIT :limit
) AS page;

-- name: uniques
SELECT coalesce(
    json_agg(json_build_array(task, key, job_id, how, last_id, last_digest, until_ms, state)), '[]'::json
)
FROM (
    SELECT * FROM aiq_unique WHERE (task, key) > (:after::jsonb ->> 0, :after::jsonb ->> 1)
    ORDER BY task, key LIMIT :limit
) AS page;

-- name: groups
SELECT coalesce(json_agg(json_build_array(fingerprint, json_build_object(
    'fingerprint', fingerprint, 'task', task, 'cause', cause, 'type', type, 'code', code, 'place', place,
    'pattern', pattern, 'first_seen_ms', first_seen_ms, 'last_seen_ms', last_seen_ms, 'dead', dead, 'died', died,
    'attempts', attempts, 'tokens', tokens, 'usd_micros', usd_micros, 'redriven', redriven, 'recovered', recovered,
    'relapsed', relapsed, 'touched_at_ms', touched_at_ms
))), '[]'::json)
FROM (
    SELECT * FROM aiq_dead_groups WHERE fingerprint > :after::jsonb ->> 0 ORDER BY fingerprint LIMIT :limit
) AS page;

-- name: jobs
-- Their records are read apart.
SELECT coalesce(json_agg(json_build_array(
    n, root, depth, wait_signal, held_at, need::json, since_ms, patience_end_ms,
    CASE WHEN turn IS NOT NULL THEN json_build_object('turn', turn, 'stand', stand) END,
    CASE WHEN died_at_ms IS NOT NULL THEN json_build_object(
        'fingerprint', fingerprint, 'died_at_ms', died_at_ms, 'tokens', tokens, 'usd_micros', usd_micros,
        'sample', sample
    ) END,
    CASE WHEN redrive_id IS NOT NULL THEN json_build_object(
        'redrive_id', redrive_id, 'fingerprint', of_group, 'tokens', counted_tokens, 'usd_micros', counted_usd_micros
    ) END
)), '[]'::json)
FROM (
    SELECT
        j.n, s.root, s.depth, j.wait_signal, coalesce(h.number, 0) AS held_at, coalesce(h.need, '{}') AS need,
        j.since_ms, CASE WHEN j.state = 'ready' THEN j.patience_end_ms END AS patience_end_ms,
        k.turn, k.stand, d.fingerprint, d.died_at_ms, d.tokens, d.usd_micros, d.sample,
        r.redrive_id, r.fingerprint AS of_group, r.tokens AS counted_tokens, r.usd_micros AS counted_usd_micros
    FROM aiq_jobs AS j
    CROSS JOIN LATERAL (SELECT root, depth FROM aiq_specs WHERE n = j.n OFFSET 0) AS s
    LEFT JOIN LATERAL (SELECT number, need FROM aiq_holds WHERE n = j.n OFFSET 0) AS h ON true
    LEFT JOIN LATERAL (SELECT turn, stand FROM aiq_keyed WHERE n = j.n OFFSET 0) AS k ON true
    LEFT JOIN LATERAL (
        SELECT fingerprint, died_at_ms, tokens, usd_micros, sample FROM aiq_deaths WHERE n = j.n OFFSET 0
    ) AS d ON true
    LEFT JOIN LATERAL (
        SELECT redrive_id, fingerprint, tokens, usd_micros FROM aiq_redriven WHERE n = j.n OFFSET 0
    ) AS r ON true
    WHERE j.n > (:after::jsonb ->> 0)::bigint
    ORDER BY j.n LIMIT :limit
) AS page;

-- name: answers
SELECT coalesce(json_agg(json_build_array(n, id, settled_id, settled_state, settled_late, settled_step)), '[]'::json)
FROM (
    SELECT n, id, settled_id, settled_state, settled_late, settled_step FROM aiq_jobs
    WHERE n > (:after::jsonb ->> 0)::bigint AND settled_id IS NOT NULL
    ORDER BY n LIMIT :limit
) AS page;

-- name: waits
SELECT coalesce(
    json_agg(json_build_array(n, wait_key, id, total, succeeded, failed, need, rest, first_failed)), '[]'::json
)
FROM (
    SELECT w.n, w.wait_key, j.id, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed
    FROM aiq_waits AS w
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = w.n OFFSET 0) AS j
    WHERE (w.n, w.wait_key) > ((:after::jsonb ->> 0)::bigint, :after::jsonb ->> 1)
    ORDER BY w.n, w.wait_key LIMIT :limit
) AS page;

-- name: edges
SELECT coalesce(
    json_agg(json_build_array(dependent, wait_key, upstream, upstream_id, dependent_id, ended, succeeded)), '[]'::json
)
FROM (
    SELECT e.dependent, e.wait_key, e.upstream, j.id AS upstream_id, e.dependent_id, e.ended, e.succeeded
    FROM aiq_edges AS e
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = e.upstream OFFSET 0) AS j
    WHERE (e.dependent, e.wait_key, e.upstream)
        > ((:after::jsonb ->> 0)::bigint, :after::jsonb ->> 1, (:after::jsonb ->> 2)::bigint)
    ORDER BY e.dependent, e.wait_key, e.upstream LIMIT :limit
) AS page;

-- name: steps
SELECT
    coalesce(json_agg(json_build_array(n, step_key, id, kind, digest, fence, octet_length(value))), '[]'::json),
    coalesce(string_agg(value, ''::bytea), ''::bytea)
FROM (
    SELECT s.n, s.step_key, j.id, s.kind, s.digest, s.fence, s.value
    FROM aiq_steps AS s
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = s.n OFFSET 0) AS j
    WHERE (s.n, s.step_key) > ((:after::jsonb ->> 0)::bigint, :after::jsonb ->> 1)
    ORDER BY s.n, s.step_key LIMIT :limit
) AS page;

-- name: signals
SELECT
    coalesce(
        json_agg(json_build_array(number, id, signal_id, name, kept, bound, over_ms, octet_length(payload))), '[]'::json
    ),
    coalesce(string_agg(payload, ''::bytea), ''::bytea)
FROM (
    SELECT s.number, j.id, s.signal_id, s.name, s.kept, s.bound, s.over_ms, s.payload
    FROM aiq_signals AS s
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = s.n OFFSET 0) AS j
    WHERE s.number > (:after::jsonb ->> 0)::bigint
    ORDER BY s.number LIMIT :limit
) AS page;

-- name: items
SELECT
    coalesce(
        json_agg(json_build_array(n, number, id, kind, fence, seq, step_key, at_ms, octet_length(data))), '[]'::json
    ),
    coalesce(string_agg(data, ''::bytea), ''::bytea)
FROM (
    SELECT c.n, c.number, j.id, c.kind, c.fence, c.seq, c.step_key, c.at_ms, c.data
    FROM aiq_chunks AS c
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = c.n OFFSET 0) AS j
    WHERE (c.n, c.number) > ((:after::jsonb ->> 0)::bigint, (:after::jsonb ->> 1)::bigint)
    ORDER BY c.n, c.number LIMIT :limit
) AS page;

-- name: ranges
SELECT coalesce(json_agg(json_build_array(n, first, id, last, fence, step_key, void)), '[]'::json)
FROM (
    SELECT r.n, r.first, j.id, r.last, r.fence, r.step_key, r.void
    FROM aiq_ranges AS r
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = r.n OFFSET 0) AS j
    WHERE (r.n, r.first) > ((:after::jsonb ->> 0)::bigint, (:after::jsonb ->> 1)::bigint)
    ORDER BY r.n, r.first LIMIT :limit
) AS page;

-- name: tombstones
SELECT coalesce(json_agg(json_build_array(n, id, digest, state, task, queue, until_ms)), '[]'::json)
FROM (SELECT * FROM aiq_tombstones WHERE n > (:after::jsonb ->> 0)::bigint ORDER BY n LIMIT :limit) AS page;

-- name: remains
SELECT coalesce(json_agg(json_build_array(number, job_id, parent_id, flow, due_ms)), '[]'::json)
FROM (SELECT * FROM aiq_remains WHERE number > (:after::jsonb ->> 0)::bigint ORDER BY number LIMIT :limit) AS page;

-- name: minutes
SELECT coalesce(json_agg(json_build_array(
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled, waited_ms,
    waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)), '[]'::json)
FROM (
    SELECT * FROM aiq_minutes
    WHERE (minute_ms, queue, task) > ((:after::jsonb ->> 0)::bigint, :after::jsonb ->> 1, :after::jsonb ->> 2)
    ORDER BY minute_ms, queue, task LIMIT :limit
) AS page;

-- name: lines
SELECT coalesce(json_agg(json_build_array(queue, pool, band, tenant, service)), '[]'::json)
FROM (
    SELECT queue, pool, band, tenant, service FROM aiq_lines
    WHERE (queue, pool, band, tenant)
        > (:after::jsonb ->> 0, :after::jsonb ->> 1, (:after::jsonb ->> 2)::bigint, :after::jsonb ->> 3)
    ORDER BY queue, pool, band, tenant LIMIT :limit
) AS page;

-- name: pools
SELECT coalesce(json_agg(json_build_array(queue, name, served::json)), '[]'::json)
FROM (
    SELECT queue, name, body::json #>> '{0,served}' AS served FROM aiq_pools
    WHERE (queue, name) > (:after::jsonb ->> 0, :after::jsonb ->> 1)
        AND name <> '' AND body::json #>> '{0,served}' <> '[0,0,0,0]'
    ORDER BY queue, name LIMIT :limit
) AS page;

-- name: rooms
SELECT coalesce(json_agg(json_build_array(line, held_by, room::json)), '[]'::json)
FROM (
    SELECT line, held_by, room FROM aiq_letting_go
    WHERE (line, held_by) > (:after::jsonb ->> 0, :after::jsonb ->> 1)
    ORDER BY line, held_by LIMIT :limit
) AS page;

-- name: reservations
SELECT coalesce(json_agg(json_build_array(job_id, fence, call, opened_at_ms, closed_at_ms, body)), '[]'::json)
FROM (
    SELECT job_id, fence, call, opened_at_ms, closed_at_ms, body FROM aiq_reservations
    WHERE (job_id, fence, call) > (:after::jsonb ->> 0, (:after::jsonb ->> 1)::bigint, (:after::jsonb ->> 2)::bigint)
    ORDER BY job_id, fence, call LIMIT :limit
) AS page;

-- name: usage
SELECT coalesce(json_agg(json_build_array(
    scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated
)), '[]'::json)
FROM (
    SELECT scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated FROM aiq_usage
    WHERE (scope, owner, minute_ms, model, category) > (
        :after::jsonb ->> 0, :after::jsonb ->> 1, (:after::jsonb ->> 2)::bigint, :after::jsonb ->> 3,
        :after::jsonb ->> 4
    )
    ORDER BY scope, owner, minute_ms, model, category LIMIT :limit
) AS page;

-- name: outbox
SELECT coalesce(json_agg(json_build_array(number, kind, id, wait_key)), '[]'::json)
FROM (
    SELECT o.number, o.kind, j.id, o.wait_key
    FROM aiq_outbox AS o
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = o.n OFFSET 0) AS j
    WHERE o.number > (:after::jsonb ->> 0)::bigint
    ORDER BY o.number LIMIT :limit
) AS page;
