-- put_budgets: what stands above and below some budgets.
-- spec: BUDGET-9

-- name: relatives
-- A budget that moves takes those below it along; no chain is longer than a bound, so a depth ends the search.
-- Why it is fenced is told in fan_in.sql.
WITH RECURSIVE
asked (id) AS (SELECT jsonb_array_elements_text(:ids::jsonb) COLLATE "C"),
above (id) AS (
    SELECT id FROM asked
    UNION
    SELECT b.parent
    FROM above
    CROSS JOIN LATERAL (SELECT parent FROM aiq_budgets WHERE id = above.id LIMIT 1) AS b
    WHERE b.parent IS NOT NULL
),
below (id, depth) AS (
    SELECT id, 0 FROM asked
    UNION
    SELECT b.id, below.depth + 1
    FROM below
    CROSS JOIN LATERAL (SELECT id FROM aiq_budgets WHERE parent = below.id OFFSET 0) AS b
    WHERE below.depth < :depth
)
SELECT coalesce(json_agg(json_build_array(b.id, b.spec::json)), '[]'::json)
FROM aiq_budgets AS b
WHERE b.id = ANY (ARRAY(SELECT id FROM above UNION SELECT id FROM below));
