-- jobs: read jobs. Every step that needs one reads it here, and puts them in order by itself: a sort in SQL would
-- copy payloads.
-- The first columns are fields of JobRecord, in the order of rows.py.
-- spec: STORE-10, STORE-11

-- name: hot
-- What a decision looks at: half the columns of a record cost half the time of a settlement.
SELECT
    j.id, j.task, j.queue, j.delay_ms, j.at_ms, j.lease_ms, j.max_attempts, j.max_stalls, j.on_upstream, j.state,
    j.fence, j.failures, j.stalls, j.lane, j.position, j.lease_id, j.owner, j.expires_at_ms, j.cancel_requested_at_ms,
    j.cause, j.wait_key, j.kept_signals, j.chunks, j.late, j.events, j.created_at_ms,
    j.n, j.wait_signal, j.dependents, j.children, j.steps, j.stream_bytes, j.run_seq, j.errors,
    j.settled_id, j.settled_state, j.settled_late, j.settled_step
FROM json_each(:ids) AS asked
CROSS JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: whole
-- Everything but the errors.
SELECT
    j.id, j.task, j.queue, j.digest, j.band, j.delay_ms, j.at_ms, j.lease_ms, j.timeout_ms, j.max_attempts,
    j.max_stalls, j.flow, j.on_upstream, j.child_of, j.tenant, j.order_key, j.unique_key, j.limits, j.routes,
    j.deadline_ms, j.state, j.generation, j.fence, j.failures, j.stalls, j.lane, j.position, j.due_ms, j.lease_id,
    j.owner, j.expires_at_ms, j.cancel_requested_at_ms, j.cause, j.wait_key, j.pending, j.parent_id,
    j.steps > 0 AS remembers, j.kept_signals, j.chunks, j.late, j.events, j.created_at_ms, j.started_at_ms,
    j.finished_at_ms,
    p.payload, p.depends_on, p.estimate, p.budget, r.result, c.data AS progress, j.n, j.errors
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
LEFT JOIN aiq_payloads AS p ON p.n = j.n
LEFT JOIN aiq_results AS r ON r.n = j.n
LEFT JOIN aiq_chunks AS c ON c.n = j.n AND c.number = j.progress_number;

-- name: errors
-- The newest of each job, oldest first.
SELECT e.n, e.type, e.message, e.traceback, e.cause, e.at_ms, e.fence, e.attempt
FROM json_each(:ns) AS asked
CROSS JOIN aiq_errors AS e ON e.n = asked.value
ORDER BY e.n, e.number;

-- name: numbers
-- From ids to numbers, where there is a job.
SELECT j.n
FROM json_each(:ids) AS asked
CROSS JOIN aiq_jobs AS j ON j.id = asked.value;
