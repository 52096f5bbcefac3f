-- grant: what was added to a budget, so that a repeat adds nothing.
-- spec: BUDGET-10

-- name: find
SELECT 1 FROM aiq_grants WHERE budget = :budget AND grant_id = :grant_id;

-- name: add
INSERT INTO aiq_grants (budget, grant_id, window_ms) VALUES (:budget, :grant_id, :window_ms);
