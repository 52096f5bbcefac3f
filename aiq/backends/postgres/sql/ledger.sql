-- ledger: limits, budgets, prices and use, each read by its keys and written as a whole row.
-- spec: CALL-1, CALL-5, BUDGET-1, BUDGET-7, EST-2, USAGE-1, FAIR-5

-- name: limits
SELECT coalesce(json_agg(json_build_array(name, spec::json)), '[]'::json)
FROM aiq_limits
WHERE name = ANY (ARRAY(SELECT jsonb_array_elements_text(:keys::jsonb)));

-- name: put_limits
INSERT INTO aiq_limits (name, spec)
SELECT item->>0, item->>1 FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec;

-- name: limit_names
-- Those of queues are nobody's business.
SELECT coalesce(json_agg(name), '[]'::json)
FROM (
    SELECT name FROM aiq_limits WHERE name > :after AND name NOT LIKE 'queue:%' ORDER BY name LIMIT :limit
) AS page;

-- name: limit_states
SELECT coalesce(json_agg(json_build_array(json_build_array(s.name, s.part), s.state::json)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT name, part, state FROM aiq_limit_states WHERE name = item->>0 AND part = item->>1 LIMIT 1
) AS s;

-- name: put_limit_states
INSERT INTO aiq_limit_states (name, part, state, touched_at_ms)
SELECT item->0->>0, item->0->>1, item->>1, :now_ms::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (name, part) DO UPDATE SET state = excluded.state, touched_at_ms = excluded.touched_at_ms;

-- name: budgets
SELECT coalesce(json_agg(json_build_array(id, spec::json)), '[]'::json)
FROM aiq_budgets
WHERE id = ANY (ARRAY(SELECT jsonb_array_elements_text(:keys::jsonb)));

-- name: standing_budgets
-- Some budgets, each with how it stands if it has no windows. Few have a parent, which is asked for then: a recursion
-- here costs those that have none.
SELECT coalesce(json_agg(json_build_array(
    b.id, b.spec::json, (SELECT s.state::json FROM aiq_budget_states AS s WHERE s.budget = b.id AND s.window_ms = 0)
)), '[]'::json)
FROM aiq_budgets AS b
WHERE b.id = ANY (ARRAY(SELECT jsonb_array_elements_text(:ids::jsonb)));

-- name: put_budgets
INSERT INTO aiq_budgets (id, parent, spec)
SELECT id, spec::json->>'parent', spec
FROM (
    SELECT
        id, convert_from(substring(:blobs::bytea FROM (item->>0)::int FOR (item->>1)::int), 'UTF8') AS spec
    FROM jsonb_array_elements(:rows::jsonb) AS given(item)
    CROSS JOIN jsonb_array_elements_text(item->2) AS ids(id)
) AS given
ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, spec = excluded.spec;

-- name: budget_states
SELECT coalesce(json_agg(json_build_array(json_build_array(s.budget, s.window_ms), s.state::json)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT budget, window_ms, state FROM aiq_budget_states
    WHERE budget = item->>0 AND window_ms = (item->>1)::bigint
    LIMIT 1
) AS s;

-- name: put_budget_states
-- Each row has a window and a state, and all budgets that stand so.
INSERT INTO aiq_budget_states (budget, window_ms, state, touched_at_ms)
SELECT
    budget, (item->>0)::bigint,
    convert_from(substring(:blobs::bytea FROM (item->>1)::int FOR (item->>2)::int), 'UTF8'), :now_ms::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
CROSS JOIN jsonb_array_elements_text(item->3) AS budgets(budget)
ON CONFLICT (budget, window_ms) DO UPDATE SET state = excluded.state, touched_at_ms = excluded.touched_at_ms;

-- name: prices
-- All prices of a model are one value.
SELECT coalesce(json_agg(json_build_array(model, prices)), '[]'::json)
FROM (
    SELECT model, json_agg(json_build_object(
        'model', model, 'category', category, 'usd_micros_per_million', usd_micros_per_million, 'from_ms', from_ms
    )) AS prices
    FROM aiq_prices
    WHERE model = ANY (ARRAY(SELECT jsonb_array_elements_text(:keys::jsonb)))
    GROUP BY model
) AS known;

-- name: put_prices
INSERT INTO aiq_prices (model, category, from_ms, usd_micros_per_million)
SELECT price->>'model', price->>'category', (price->>'from_ms')::bigint, (price->>'usd_micros_per_million')::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
CROSS JOIN jsonb_array_elements(item->1) AS prices(price)
ON CONFLICT (model, category, from_ms) DO UPDATE SET usd_micros_per_million = excluded.usd_micros_per_million;

-- name: learned
SELECT coalesce(json_agg(json_build_array(json_build_array(l.task, l.model), l.learned::json)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT task, model, learned FROM aiq_learned WHERE task = item->>0 AND model = item->>1 LIMIT 1
) AS l;

-- name: put_learned
INSERT INTO aiq_learned (task, model, learned)
SELECT item->0->>0, item->0->>1, item->>1 FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (task, model) DO UPDATE SET learned = excluded.learned;

-- name: weights
SELECT coalesce(json_agg(json_build_array(tenant, weight)), '[]'::json)
FROM aiq_tenants
WHERE tenant = ANY (ARRAY(SELECT jsonb_array_elements_text(:keys::jsonb)));

-- name: put_weights
INSERT INTO aiq_tenants (tenant, weight)
SELECT item->>0, (item->>1)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (tenant) DO UPDATE SET weight = excluded.weight;

-- name: add_usage
-- Each row has lines, and all owners who have used just these.
INSERT INTO aiq_usage AS used (scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated)
SELECT
    item->>0, owner, (item->>1)::bigint, line->>0, line->>1, (line->>2)::bigint, (line->>3)::bigint,
    (line->>4)::bigint, (line->>5)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
CROSS JOIN jsonb_array_elements(item->2) AS lines(line)
CROSS JOIN jsonb_array_elements_text(item->3) AS owners(owner)
ON CONFLICT (scope, owner, minute_ms, model, category) DO UPDATE SET
    tokens = used.tokens + excluded.tokens, usd_micros = used.usd_micros + excluded.usd_micros,
    unpriced = used.unpriced + excluded.unpriced, estimated = used.estimated + excluded.estimated;
