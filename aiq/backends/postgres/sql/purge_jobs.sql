-- purge_jobs: what is remembered of jobs that are gone already.
-- spec: PURGE-3

-- name: stones
SELECT coalesce(json_agg(json_build_array(t.id, t.state)), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(id)
JOIN aiq_tombstones AS t ON t.id = asked.id;
