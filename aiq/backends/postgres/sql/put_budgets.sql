-- put_budgets: what stands above and below some budgets.
-- spec: BUDGET-9

-- name: relatives
-- A budget that moves takes those below it along; no chain is longer than a bound, so a depth ends the search.
WITH RECURSIVE
asked (id) AS (SELECT jsonb_array_elements_text(:ids::jsonb) COLLATE "C"),
above (id) AS (
    SELECT id FROM asked
    UNION
    SELECT b.parent FROM above JOIN aiq_budgets AS b ON b.id = above.id WHERE b.parent IS NOT NULL
),
below (id, depth) AS (
    SELECT id, 0 FROM asked
    UNION
    SELECT b.id, below.depth + 1 FROM below JOIN aiq_budgets AS b ON b.parent = below.id WHERE below.depth < :depth
)
SELECT coalesce(json_agg(json_build_array(b.id, b.spec::json)), '[]'::json)
FROM aiq_budgets AS b
WHERE b.id = ANY (ARRAY(SELECT id FROM above UNION SELECT id FROM below));
