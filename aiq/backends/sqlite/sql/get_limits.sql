-- get_limits: the parts of a limit by tenant or key.
-- spec: LIMIT-14

-- name: keys
SELECT json_group_array(part)
FROM (SELECT part FROM aiq_limit_states WHERE name = :name ORDER BY part LIMIT :limit);
