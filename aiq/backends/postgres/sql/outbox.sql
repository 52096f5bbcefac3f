-- outbox: what follows from a step and did not fit into it, the oldest first.
-- Why its questions are fenced, and keys compared with arrays of one, is told in fan_in.sql.
-- spec: FAN-2, FAN-8, FLOW-3, FLOW-13, CANCEL-8, CANCEL-9

-- name: oldest
SELECT o.number, o.kind, o.wait_key, j.id
FROM aiq_outbox AS o
CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = o.n LIMIT 1) AS j
ORDER BY o.number
LIMIT 1;

-- name: remove
DELETE FROM aiq_outbox WHERE number = :number;

-- name: waited_for
-- Children of a wait that have not ended, and were not asked to.
SELECT coalesce(json_agg(found.id), '[]'::json)
FROM (
    SELECT j.id
    FROM (SELECT upstream FROM aiq_edges WHERE dependent = :n AND wait_key = :wait_key OFFSET 0) AS e
    CROSS JOIN LATERAL (SELECT id, state, cancel_requested_at_ms FROM aiq_jobs WHERE n = e.upstream LIMIT 1) AS j
    WHERE j.state NOT IN ('succeeded', 'dead', 'cancelled')
        AND NOT (j.state = 'running' AND j.cancel_requested_at_ms IS NOT NULL)
    ORDER BY j.id
    LIMIT :limit
) AS found;

-- name: children
-- The same, of a job, as far as they go with it.
SELECT coalesce(json_agg(found.id), '[]'::json)
FROM (
    SELECT j.id
    FROM (SELECT n, id, state, cancel_requested_at_ms FROM aiq_jobs WHERE parent_id = :id OFFSET 0) AS j
    CROSS JOIN LATERAL (SELECT on_parent FROM aiq_specs WHERE n = j.n LIMIT 1) AS s
    WHERE s.on_parent = 'cancel'
        AND j.state NOT IN ('succeeded', 'dead', 'cancelled')
        AND NOT (j.state = 'running' AND j.cancel_requested_at_ms IS NOT NULL)
    ORDER BY j.id
    LIMIT :limit
) AS found;
