-- get_limits: the parts of a limit by tenant or key.
-- spec: LIMIT-14

-- name: keys
SELECT coalesce(json_agg(part), '[]'::json)
FROM (SELECT part FROM aiq_limit_states WHERE name = :name ORDER BY part LIMIT :limit) AS found;
