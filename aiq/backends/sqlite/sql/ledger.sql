-- ledger: limits, budgets, prices and use, each read by its keys and written as a whole row.
-- spec: CALL-1, CALL-5, BUDGET-1, BUDGET-7, EST-2, USAGE-1, FAIR-5

-- name: limits
SELECT json_group_array(json_array(l.name, json(l.spec)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_limits AS l ON l.name = asked.value;

-- name: put_limits
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_limits (name, spec)
SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given
WHERE true
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec;

-- name: limit_names
-- Those of queues are nobody's business.
SELECT json_group_array(name)
FROM (SELECT name FROM aiq_limits WHERE name > :after AND name NOT GLOB 'queue:*' ORDER BY name LIMIT :limit);

-- name: limit_states
SELECT json_group_array(json_array(json_array(s.name, s.part), json(s.state)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_limit_states AS s
    ON s.name = json_extract(asked.value, '$[0]') AND s.part = json_extract(asked.value, '$[1]');

-- name: put_limit_states
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_limit_states (name, part, state, touched_at_ms)
SELECT json_extract(item, '$[0][0]'), json_extract(item, '$[0][1]'), json_extract(item, '$[1]'), :now_ms FROM given
WHERE true
ON CONFLICT (name, part) DO UPDATE SET state = excluded.state, touched_at_ms = excluded.touched_at_ms;

-- name: budgets
SELECT '[' || coalesce(group_concat('[' || json_quote(b.id) || ',' || b.spec || ']', ','), '') || ']'
FROM json_each(:keys) AS asked
CROSS JOIN aiq_budgets AS b ON b.id = asked.value;

-- name: standing_budgets
-- Some budgets, each with how it stands if it has no windows. Few have a parent, which is asked for then: a recursion
-- here costs those that have none.
SELECT
    '[' || coalesce(group_concat(
        '[' || json_quote(b.id) || ',' || b.spec || ',' || coalesce(s.state, 'null') || ']', ','
    ), '') || ']'
FROM json_each(:ids) AS asked
CROSS JOIN aiq_budgets AS b ON b.id = asked.value
LEFT JOIN aiq_budget_states AS s ON s.budget = b.id AND s.window_ms = 0;

-- name: put_budgets
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_budgets (id, parent, spec)
SELECT id.value, json_extract(spec, '$.parent'), spec
FROM (
    SELECT
        CAST(substr(:blobs, json_extract(item, '$[0]'), json_extract(item, '$[1]')) AS TEXT) AS spec,
        json_extract(item, '$[2]') AS ids
    FROM given
)
CROSS JOIN json_each(ids) AS id
WHERE true
ON CONFLICT (id) DO UPDATE SET parent = excluded.parent, spec = excluded.spec;

-- name: budget_states
SELECT
    '[' || coalesce(group_concat('[[' || json_quote(s.budget) || ',' || s.window_ms || '],' || s.state || ']', ','), '') || ']'
FROM json_each(:keys) AS asked
CROSS JOIN aiq_budget_states AS s
    ON s.budget = json_extract(asked.value, '$[0]') AND s.window_ms = json_extract(asked.value, '$[1]');

-- name: put_budget_states
-- Each row has a window and a state, and all budgets that stand so.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows)),
taken_apart AS MATERIALIZED (
    SELECT
        json_extract(item, '$[0]') AS window_ms,
        CAST(substr(:blobs, json_extract(item, '$[1]'), json_extract(item, '$[2]')) AS TEXT) AS state,
        json_extract(item, '$[3]') AS budgets
    FROM given
)
INSERT INTO aiq_budget_states (budget, window_ms, state, touched_at_ms)
SELECT budget.value, window_ms, state, :now_ms
FROM taken_apart
CROSS JOIN json_each(budgets) AS budget
WHERE true
ON CONFLICT (budget, window_ms) DO UPDATE SET state = excluded.state, touched_at_ms = excluded.touched_at_ms;

-- name: prices
-- All prices of a model are one value.
SELECT json_group_array(json_array(model, json(prices)))
FROM (
    SELECT p.model, json_group_array(json_object(
        'model', p.model, 'category', p.category, 'usd_micros_per_million', p.usd_micros_per_million,
        'from_ms', p.from_ms
    )) AS prices
    FROM json_each(:keys) AS asked
    CROSS JOIN aiq_prices AS p ON p.model = asked.value
    GROUP BY p.model
);

-- name: put_prices
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_prices (model, category, from_ms, usd_micros_per_million)
SELECT
    json_extract(price.value, '$.model'), json_extract(price.value, '$.category'),
    json_extract(price.value, '$.from_ms'), json_extract(price.value, '$.usd_micros_per_million')
FROM given
CROSS JOIN json_each(item, '$[1]') AS price
WHERE true
ON CONFLICT (model, category, from_ms) DO UPDATE SET usd_micros_per_million = excluded.usd_micros_per_million;

-- name: learned
SELECT json_group_array(json_array(json_array(l.task, l.model), json(l.learned)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_learned AS l
    ON l.task = json_extract(asked.value, '$[0]') AND l.model = json_extract(asked.value, '$[1]');

-- name: put_learned
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_learned (task, model, learned)
SELECT json_extract(item, '$[0][0]'), json_extract(item, '$[0][1]'), json_extract(item, '$[1]') FROM given
WHERE true
ON CONFLICT (task, model) DO UPDATE SET learned = excluded.learned;

-- name: weights
SELECT json_group_array(json_array(t.tenant, t.weight))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_tenants AS t ON t.tenant = asked.value;

-- name: put_weights
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_tenants (tenant, weight)
SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]') FROM given
WHERE true
ON CONFLICT (tenant) DO UPDATE SET weight = excluded.weight;

-- name: add_usage
-- Each row has lines, and all owners who have used just these: a line is taken apart once, and not for each of them.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows)),
taken_apart AS MATERIALIZED (
    SELECT
        json_extract(item, '$[0]') AS scope, json_extract(item, '$[1]') AS minute_ms,
        json_extract(line.value, '$[0]') AS model, json_extract(line.value, '$[1]') AS category,
        json_extract(line.value, '$[2]') AS tokens, json_extract(line.value, '$[3]') AS usd_micros,
        json_extract(line.value, '$[4]') AS unpriced, json_extract(line.value, '$[5]') AS estimated,
        json_extract(item, '$[3]') AS owners
    FROM given
    CROSS JOIN json_each(item, '$[2]') AS line
)
INSERT INTO aiq_usage (scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated)
SELECT scope, owner.value, minute_ms, model, category, tokens, usd_micros, unpriced, estimated
FROM taken_apart
CROSS JOIN json_each(owners) AS owner
WHERE true
ON CONFLICT (scope, owner, minute_ms, model, category) DO UPDATE SET
    tokens = tokens + excluded.tokens, usd_micros = usd_micros + excluded.usd_micros,
    unpriced = unpriced + excluded.unpriced, estimated = estimated + excluded.estimated;
