-- put_limits: store limits; what is left of each goes along.
-- spec: LIMIT-1, LIMIT-2, LIMIT-3

-- name: parts
SELECT coalesce(json_agg(json_build_array(part, state::json)), '[]'::json) FROM aiq_limit_states WHERE name = :name;
