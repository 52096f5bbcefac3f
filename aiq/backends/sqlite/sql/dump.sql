-- dump: read everything, a page of one kind at a time, in the order of a key behind which it goes on.
-- Each row of a table begins with its key, as far as the columns of :after.
-- spec: MOVE-1, MOVE-7

-- name: limits
SELECT json_group_array(json_array(name, json(spec)))
FROM (
    SELECT name, spec FROM aiq_limits
    WHERE name > json_extract(:after, '$[0]') AND name NOT GLOB 'queue:*' ORDER BY name LIMIT :limit
);

-- name: queues
SELECT json_group_array(json_array(name, paused, json(settings)))
FROM (
    SELECT name, paused, settings FROM aiq_queues WHERE name > json_extract(:after, '$[0]') ORDER BY name LIMIT :limit
);

-- name: levels
SELECT json_group_array(json_array(name, part, json(state)))
FROM (
    SELECT name, part, state FROM aiq_limit_states
    WHERE (name, part) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]')) ORDER BY name, part LIMIT :limit
);

-- name: budgets
SELECT json_group_array(json_array(id, json(spec)))
FROM (SELECT id, spec FROM aiq_budgets WHERE id > json_extract(:after, '$[0]') ORDER BY id LIMIT :limit);

-- name: balances
SELECT json_group_array(json_array(budget, window_ms, json(state)))
FROM (
    SELECT budget, window_ms, state FROM aiq_budget_states
    WHERE (budget, window_ms) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY budget, window_ms LIMIT :limit
);

-- name: grants
SELECT json_group_array(json_array(budget, grant_id, window_ms))
FROM (
    SELECT budget, grant_id, window_ms FROM aiq_grants
    WHERE (budget, grant_id) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY budget, grant_id LIMIT :limit
);

-- name: prices
SELECT json_group_array(json_array(model, category, from_ms, usd_micros_per_million))
FROM (
    SELECT model, category, from_ms, usd_micros_per_million FROM aiq_prices
    WHERE (model, category, from_ms)
        > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'))
    ORDER BY model, category, from_ms LIMIT :limit
);

-- name: learned
SELECT json_group_array(json_array(task, model, json(learned)))
FROM (
    SELECT task, model, learned FROM aiq_learned
    WHERE (task, model) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]')) ORDER BY task, model LIMIT :limit
);

-- name: tenants
SELECT json_group_array(json_array(tenant, weight))
FROM (
    SELECT tenant, weight FROM aiq_tenants WHERE tenant > json_extract(:after, '$[0]') ORDER BY tenant LIMIT :limit
);

-- name: keys
SELECT json_group_array(json_array(queue, order_key, per_key, places, holders, line, paused))
FROM (
    SELECT * FROM aiq_keys WHERE (queue, order_key) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY queue, order_key LIMIT :limit
);

-- name: uniques
SELECT json_group_array(json_array(task, key, job_id, how, last_id, last_digest, until_ms, state))
FROM (
    SELECT * FROM aiq_unique WHERE (task, key) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY task, key LIMIT :limit
);

-- name: groups
SELECT json_group_array(json_array(fingerprint, json_object(
    'fingerprint', fingerprint, 'task', task, 'cause', cause, 'type', type, 'code', code, 'place', place,
    'pattern', pattern, 'first_seen_ms', first_seen_ms, 'last_seen_ms', last_seen_ms, 'dead', dead, 'died', died,
    'attempts', attempts, 'tokens', tokens, 'usd_micros', usd_micros, 'redriven', redriven, 'recovered', recovered,
    'relapsed', relapsed, 'touched_at_ms', touched_at_ms
)))
FROM (
    SELECT * FROM aiq_dead_groups WHERE fingerprint > json_extract(:after, '$[0]') ORDER BY fingerprint LIMIT :limit
);

-- name: jobs
-- Their records are read apart.
SELECT json_group_array(json_array(
    n, root, depth, wait_signal, held_at, json(need), since_ms, patience_end_ms,
    CASE WHEN turn IS NOT NULL THEN json_object('turn', turn, 'stand', stand) END,
    CASE WHEN died_at_ms IS NOT NULL THEN json_object(
        'fingerprint', fingerprint, 'died_at_ms', died_at_ms, 'tokens', tokens, 'usd_micros', usd_micros,
        'sample', sample
    ) END,
    CASE WHEN redrive_id IS NOT NULL THEN json_object(
        'redrive_id', redrive_id, 'fingerprint', of_group, 'tokens', counted_tokens, 'usd_micros', counted_usd_micros
    ) END
))
FROM (
    SELECT
        j.n, s.root, s.depth, j.wait_signal, coalesce(h.number, 0) AS held_at, coalesce(h.need, json_object()) AS need,
        j.since_ms, CASE WHEN j.state = 'ready' THEN j.patience_end_ms END AS patience_end_ms,
        k.turn, k.stand, d.fingerprint, d.died_at_ms, d.tokens, d.usd_micros, d.sample,
        r.redrive_id, r.fingerprint AS of_group, r.tokens AS counted_tokens, r.usd_micros AS counted_usd_micros
    FROM aiq_jobs AS j
    JOIN aiq_specs AS s ON s.n = j.n
    LEFT JOIN aiq_holds AS h ON h.n = j.n
    LEFT JOIN aiq_keyed AS k ON k.n = j.n
    LEFT JOIN aiq_deaths AS d ON d.n = j.n
    LEFT JOIN aiq_redriven AS r ON r.n = j.n
    WHERE j.n > json_extract(:after, '$[0]')
    ORDER BY j.n LIMIT :limit
);

-- name: answers
SELECT json_group_array(json_array(n, id, settled_id, settled_state, settled_late, settled_step))
FROM (
    SELECT n, id, settled_id, settled_state, settled_late, settled_step FROM aiq_jobs
    WHERE n > json_extract(:after, '$[0]') AND settled_id IS NOT NULL
    ORDER BY n LIMIT :limit
);

-- name: waits
SELECT json_group_array(json_array(n, wait_key, id, total, succeeded, failed, need, rest, first_failed))
FROM (
    SELECT w.n, w.wait_key, j.id, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed
    FROM aiq_waits AS w
    CROSS JOIN aiq_jobs AS j ON j.n = w.n
    WHERE (w.n, w.wait_key) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY w.n, w.wait_key LIMIT :limit
);

-- name: edges
SELECT json_group_array(json_array(dependent, wait_key, upstream, upstream_id, dependent_id, ended, succeeded))
FROM (
    SELECT e.dependent, e.wait_key, e.upstream, j.id AS upstream_id, e.dependent_id, e.ended, e.succeeded
    FROM aiq_edges AS e
    CROSS JOIN aiq_jobs AS j ON j.n = e.upstream
    WHERE (e.dependent, e.wait_key, e.upstream)
        > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'))
    ORDER BY e.dependent, e.wait_key, e.upstream LIMIT :limit
);

-- name: steps
SELECT
    json_group_array(json_array(n, step_key, id, kind, digest, fence, length(value))),
    CAST(group_concat(CAST(value AS TEXT), '') AS BLOB)
FROM (
    SELECT s.n, s.step_key, j.id, s.kind, s.digest, s.fence, s.value
    FROM aiq_steps AS s
    CROSS JOIN aiq_jobs AS j ON j.n = s.n
    WHERE (s.n, s.step_key) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY s.n, s.step_key LIMIT :limit
);

-- name: signals
SELECT
    json_group_array(json_array(number, id, signal_id, name, kept, bound, over_ms, length(payload))),
    CAST(group_concat(CAST(payload AS TEXT), '') AS BLOB)
FROM (
    SELECT s.number, j.id, s.signal_id, s.name, s.kept, s.bound, s.over_ms, s.payload
    FROM aiq_signals AS s
    CROSS JOIN aiq_jobs AS j ON j.n = s.n
    WHERE s.number > json_extract(:after, '$[0]')
    ORDER BY s.number LIMIT :limit
);

-- name: items
SELECT
    json_group_array(json_array(n, number, id, kind, fence, seq, step_key, at_ms, length(data))),
    CAST(group_concat(CAST(data AS TEXT), '') AS BLOB)
FROM (
    SELECT c.n, c.number, j.id, c.kind, c.fence, c.seq, c.step_key, c.at_ms, c.data
    FROM aiq_chunks AS c
    CROSS JOIN aiq_jobs AS j ON j.n = c.n
    WHERE (c.n, c.number) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY c.n, c.number LIMIT :limit
);

-- name: ranges
SELECT json_group_array(json_array(n, first, id, last, fence, step_key, void))
FROM (
    SELECT r.n, r.first, j.id, r.last, r.fence, r.step_key, r.void
    FROM aiq_ranges AS r
    CROSS JOIN aiq_jobs AS j ON j.n = r.n
    WHERE (r.n, r.first) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY r.n, r.first LIMIT :limit
);

-- name: tombstones
SELECT json_group_array(json_array(n, id, digest, state, task, queue, until_ms))
FROM (SELECT * FROM aiq_tombstones WHERE n > json_extract(:after, '$[0]') ORDER BY n LIMIT :limit);

-- name: remains
SELECT json_group_array(json_array(number, job_id, parent_id, flow, due_ms))
FROM (SELECT * FROM aiq_remains WHERE number > json_extract(:after, '$[0]') ORDER BY number LIMIT :limit);

-- name: minutes
SELECT json_group_array(json_array(
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled, waited_ms,
    waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
))
FROM (
    SELECT * FROM aiq_minutes
    WHERE (minute_ms, queue, task)
        > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'))
    ORDER BY minute_ms, queue, task LIMIT :limit
);

-- name: lines
SELECT json_group_array(json_array(queue, pool, band, tenant, service))
FROM (
    SELECT queue, pool, band, tenant, service FROM aiq_lines
    WHERE (queue, pool, band, tenant) > (
        json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'),
        json_extract(:after, '$[3]')
    )
    ORDER BY queue, pool, band, tenant LIMIT :limit
);

-- name: pools
SELECT json_group_array(json_array(queue, name, json(json_extract(body, '$[0].served'))))
FROM (
    SELECT queue, name, body FROM aiq_pools
    WHERE (queue, name) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
        AND name <> '' AND json_extract(body, '$[0].served') <> '[0,0,0,0]'
    ORDER BY queue, name LIMIT :limit
);

-- name: rooms
SELECT json_group_array(json_array(line, held_by, json(room)))
FROM (
    SELECT line, held_by, room FROM aiq_letting_go
    WHERE (line, held_by) > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'))
    ORDER BY line, held_by LIMIT :limit
);

-- name: reservations
SELECT json_group_array(json_array(job_id, fence, call, opened_at_ms, closed_at_ms, body))
FROM (
    SELECT job_id, fence, call, opened_at_ms, closed_at_ms, body FROM aiq_reservations
    WHERE (job_id, fence, call)
        > (json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'))
    ORDER BY job_id, fence, call LIMIT :limit
);

-- name: usage
SELECT json_group_array(json_array(scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated))
FROM (
    SELECT scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated FROM aiq_usage
    WHERE (scope, owner, minute_ms, model, category) > (
        json_extract(:after, '$[0]'), json_extract(:after, '$[1]'), json_extract(:after, '$[2]'),
        json_extract(:after, '$[3]'), json_extract(:after, '$[4]')
    )
    ORDER BY scope, owner, minute_ms, model, category LIMIT :limit
);

-- name: outbox
SELECT json_group_array(json_array(number, kind, id, wait_key))
FROM (
    SELECT o.number, o.kind, j.id, o.wait_key
    FROM aiq_outbox AS o
    CROSS JOIN aiq_jobs AS j ON j.n = o.n
    WHERE o.number > json_extract(:after, '$[0]')
    ORDER BY o.number LIMIT :limit
);
