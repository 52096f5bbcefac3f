-- purge_jobs: what is remembered of jobs that are gone already.
-- spec: PURGE-3

-- name: stones
SELECT json_group_array(json_array(t.id, t.state))
FROM json_each(:ids) AS asked
CROSS JOIN aiq_tombstones AS t ON t.id = asked.value;
