-- put_limits: store limits; what is left of each goes along.
-- spec: LIMIT-1, LIMIT-2, LIMIT-3

-- name: parts
SELECT json_group_array(json_array(part, json(state))) FROM aiq_limit_states WHERE name = :name;
