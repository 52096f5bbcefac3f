-- outbox: what follows from a step and did not fit into it, the oldest first.
-- spec: FAN-2, FAN-8, FLOW-3, FLOW-13, CANCEL-8, CANCEL-9

-- name: oldest
SELECT o.number, o.kind, o.wait_key, j.id
FROM aiq_outbox AS o
JOIN aiq_jobs AS j ON j.n = o.n
ORDER BY o.number
LIMIT 1;

-- name: remove
DELETE FROM aiq_outbox WHERE number = :number;

-- name: waited_for
-- Children of a wait that have not ended, and were not asked to.
SELECT coalesce(json_agg(s.id), '[]'::json)
FROM (
    SELECT j.id
    FROM aiq_edges AS e
    JOIN aiq_jobs AS j ON j.n = e.upstream
    WHERE e.dependent = :n AND e.wait_key = :wait_key
        AND j.state NOT IN ('succeeded', 'dead', 'cancelled')
        AND NOT (j.state = 'running' AND j.cancel_requested_at_ms IS NOT NULL)
    ORDER BY j.id
    LIMIT :limit
) AS s;

-- name: children
-- The same, of a job, as far as they go with it.
SELECT coalesce(json_agg(s.id), '[]'::json)
FROM (
    SELECT j.id
    FROM aiq_jobs AS j
    JOIN aiq_specs AS p ON p.n = j.n
    WHERE j.parent_id = :id AND p.on_parent = 'cancel'
        AND j.state NOT IN ('succeeded', 'dead', 'cancelled')
        AND NOT (j.state = 'running' AND j.cancel_requested_at_ms IS NOT NULL)
    ORDER BY j.id
    LIMIT :limit
) AS s;
