-- get_budgets: the ids of budgets, a page at a time.
-- spec: BUDGET-7

-- name: ids
SELECT coalesce(json_agg(id), '[]'::json)
FROM (SELECT id FROM aiq_budgets WHERE id > :after ORDER BY id LIMIT :limit) AS found;
