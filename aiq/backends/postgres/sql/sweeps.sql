-- sweeps: what is due, in the order of (instant, id), each by an index of its own.
-- A row that somebody holds who is no part of this storage, such as an operator, is passed over until he lets go of it:
-- one such row must not keep what is due of all other jobs waiting.
-- spec: TIME-3, TIME-4, TIME-7, CLAIM-9, LIVE-2, CANCEL-5, SIG-8, ROUTE-5, POOL-4, DEADLINE-3

-- name: due
SELECT coalesce(json_agg(json_build_array(due_ms, id)), '[]'::json)
FROM (
    SELECT due_ms, id FROM aiq_live
    WHERE state = 'scheduled' AND due_ms <= :now_ms
    ORDER BY due_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: expired
SELECT coalesce(json_agg(json_build_array(expires_at_ms, id)), '[]'::json)
FROM (
    SELECT expires_at_ms, id FROM aiq_live
    WHERE state = 'running' AND expires_at_ms <= :now_ms
    ORDER BY expires_at_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: timed_out
SELECT coalesce(json_agg(json_build_array(due_ms, id)), '[]'::json)
FROM (
    SELECT due_ms, id FROM aiq_live
    WHERE state = 'suspended' AND due_ms IS NOT NULL AND due_ms <= :now_ms
    ORDER BY due_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: unheeded
SELECT coalesce(json_agg(json_build_array(cancel_requested_at_ms, id)), '[]'::json)
FROM (
    SELECT cancel_requested_at_ms, id FROM aiq_live
    WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL AND cancel_requested_at_ms <= :requested_ms
    ORDER BY cancel_requested_at_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: overdue
SELECT coalesce(json_agg(json_build_array(deadline_ms, id)), '[]'::json)
FROM (
    SELECT deadline_ms, id FROM aiq_live
    WHERE deadline_ms IS NOT NULL AND cancel_requested_at_ms IS NULL
        AND deadline_ms <= :now_ms
    ORDER BY deadline_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: impatient
SELECT coalesce(json_agg(json_build_array(patience_end_ms, id)), '[]'::json)
FROM (
    SELECT patience_end_ms, id FROM aiq_live
    WHERE state = 'ready' AND patience_end_ms IS NOT NULL AND patience_end_ms <= :now_ms
        AND (:queues::jsonb IS NULL OR queue IN (SELECT jsonb_array_elements_text(:queues::jsonb)))
    ORDER BY patience_end_ms, id
    LIMIT :limit
    FOR NO KEY UPDATE SKIP LOCKED
) AS found;

-- name: impatience
-- The first of them, and not whether there is one: that would be looked for among all jobs, as if it were soon found.
SELECT min(patience_end_ms) <= :now_ms FROM aiq_live WHERE state = 'ready' AND patience_end_ms IS NOT NULL;

-- name: be_patient
UPDATE aiq_live SET patience_end_ms = (item ->> 1)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE n = (item ->> 0)::bigint;

-- name: next
-- The first instant of each kind, and whether the outbox or a line of held jobs is to be gone on with. What stands
-- aside opens by a claim once its instant has passed, and not by itself. Each is the first entry of an index; of the
-- jobs that wait for a parked pool the first of each such pool is looked at.
SELECT
    (SELECT min(due_ms) FROM aiq_live WHERE state = 'scheduled'),
    (SELECT min(due_ms) FROM aiq_live WHERE state = 'suspended' AND due_ms IS NOT NULL),
    (SELECT min(expires_at_ms) FROM aiq_live WHERE state = 'running'),
    (SELECT min(cancel_requested_at_ms) FROM aiq_live WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL)
        + :grace_ms::bigint,
    (
        SELECT min(wake_at_ms) FROM aiq_pools
        WHERE wake_at_ms > 0 AND wake_at_ms > :now_ms::bigint AND wake_at_ms < :never_ms::bigint
    ),
    (
        SELECT min(wake_at_ms) FROM aiq_lines
        WHERE wake_at_ms > 0 AND wake_at_ms > :now_ms::bigint AND wake_at_ms < :never_ms::bigint
    ),
    (SELECT min(wake_at_ms) FROM aiq_gates WHERE wake_at_ms > :now_ms::bigint AND wake_at_ms < :never_ms::bigint),
    (
        SELECT min((
            SELECT min(j.patience_end_ms) FROM aiq_live AS j
            WHERE j.queue = p.queue AND j.pool = p.name AND j.state = 'ready' AND j.patience_end_ms IS NOT NULL
        ))
        FROM aiq_pools AS p
        WHERE p.wake_at_ms > 0 AND p.wake_at_ms > :now_ms::bigint
    ),
    (SELECT min(at_ms) FROM aiq_renewals),
    (SELECT min(due_ms) FROM aiq_schedules WHERE due_ms IS NOT NULL),
    (
        SELECT min(deadline_ms) FROM aiq_live
        WHERE deadline_ms IS NOT NULL AND cancel_requested_at_ms IS NULL
    ),
    EXISTS (SELECT 1 FROM aiq_outbox) OR EXISTS (SELECT 1 FROM aiq_letting_go);
