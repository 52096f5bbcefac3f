-- sweeps: what is due, in the order of (instant, id), each by an index of its own.
-- spec: TIME-3, TIME-4, TIME-7, CLAIM-9, LIVE-2, CANCEL-5, SIG-8

-- name: due
SELECT json_group_array(json_array(due_ms, id))
FROM (
    SELECT due_ms, id FROM aiq_jobs
    WHERE state = 'scheduled' AND due_ms <= :now_ms
    ORDER BY due_ms, id
    LIMIT :limit
);

-- name: expired
SELECT json_group_array(json_array(expires_at_ms, id))
FROM (
    SELECT expires_at_ms, id FROM aiq_jobs
    WHERE state = 'running' AND expires_at_ms <= :now_ms
    ORDER BY expires_at_ms, id
    LIMIT :limit
);

-- name: timed_out
SELECT json_group_array(json_array(due_ms, id))
FROM (
    SELECT due_ms, id FROM aiq_jobs
    WHERE state = 'suspended' AND due_ms IS NOT NULL AND due_ms <= :now_ms
    ORDER BY due_ms, id
    LIMIT :limit
);

-- name: unheeded
SELECT json_group_array(json_array(cancel_requested_at_ms, id))
FROM (
    SELECT cancel_requested_at_ms, id FROM aiq_jobs
    WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL AND cancel_requested_at_ms <= :requested_ms
    ORDER BY cancel_requested_at_ms, id
    LIMIT :limit
);

-- name: next
-- The first instant of each kind, and whether the outbox holds something.
SELECT
    (SELECT min(due_ms) FROM aiq_jobs WHERE state = 'scheduled'),
    (SELECT min(due_ms) FROM aiq_jobs WHERE state = 'suspended' AND due_ms IS NOT NULL),
    (SELECT min(expires_at_ms) FROM aiq_jobs WHERE state = 'running'),
    (SELECT min(cancel_requested_at_ms) FROM aiq_jobs WHERE state = 'running' AND cancel_requested_at_ms IS NOT NULL)
        + :grace_ms,
    EXISTS (SELECT 1 FROM aiq_outbox);
