-- put_budgets: what stands above and below some budgets.
-- spec: BUDGET-9

-- name: relatives
-- A budget that moves takes those below it along; no chain is longer than a bound, so a depth ends the search.
WITH RECURSIVE
above (id) AS (
    SELECT value FROM json_each(:ids)
    UNION
    SELECT b.parent FROM above CROSS JOIN aiq_budgets AS b ON b.id = above.id WHERE b.parent IS NOT NULL
),
below (id, depth) AS (
    SELECT value, 0 FROM json_each(:ids)
    UNION
    SELECT b.id, below.depth + 1
    FROM below
    CROSS JOIN aiq_budgets AS b ON b.parent = below.id
    WHERE below.depth < :depth
)
SELECT '[' || coalesce(group_concat('[' || json_quote(b.id) || ',' || b.spec || ']', ','), '') || ']'
FROM (SELECT id FROM above UNION SELECT id FROM below) AS related
CROSS JOIN aiq_budgets AS b ON b.id = related.id;
