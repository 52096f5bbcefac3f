-- get_budgets: the ids of budgets, a page at a time.
-- spec: BUDGET-7

-- name: ids
SELECT json_group_array(id) FROM (SELECT id FROM aiq_budgets WHERE id > :after ORDER BY id LIMIT :limit);
