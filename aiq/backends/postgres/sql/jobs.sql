-- jobs: read jobs, many at once and in no order. Every step that needs one reads it here.
-- Each row of a table ends with what rows.py finds by its place: there are the fields of JobRecord in this order; those
-- of admission come as one value, which a plain job does not have: its terms alone where the others are as they began.
-- spec: STORE-10

-- name: hot
-- What a decision looks at: half the columns of a record cost half the time of a settlement.
SELECT coalesce(json_agg(json_build_array(
    j.id, j.task, j.queue, j.delay_ms, j.at_ms, j.lease_ms, j.max_attempts, j.max_stalls, j.on_upstream, j.state,
    j.fence, j.failures, j.stalls, j.lane, j.position, j.lease_id, j.owner, j.expires_at_ms, j.cancel_requested_at_ms,
    j.cause, j.wait_key, j.kept_signals, j.chunks, j.late, j.events, j.created_at_ms,
    j.band, j.tenant, j.order_key, j.flow, j.parent_id, j.max_deferral_ms, j.generation, j.deadline_ms, j.unique_key,
    CASE
        WHEN j.plain = 1 THEN NULL
        WHEN j.deferred_at_ms IS NULL AND j.resumes = 0 AND j.opened_calls = 0 AND j.route = 0 AND j.closed_routes = 0
            AND j.held IS NULL
            THEN (SELECT to_json(t.terms) FROM aiq_terms AS t WHERE t.n = j.n)
        ELSE json_build_array(
            j.deferred_at_ms, j.resumes, j.opened_calls, j.route, j.closed_routes, j.held, j.held_by,
            CASE WHEN j.gated = 1 THEN (SELECT t.terms FROM aiq_terms AS t WHERE t.n = j.n) END
        )
    END,
    j.n, j.gated, j.pool, CASE WHEN j.aside = 1 THEN json_build_array(j.aside_limit, j.aside_key) END, j.wait_signal,
    j.dependents, j.children, j.steps, j.stream_bytes, j.run_seq, j.errors, j.settled_id, j.settled_state, j.settled_late, j.settled_step,
    j.since_ms,
    CASE WHEN j.order_key IS NOT NULL THEN (
        SELECT json_build_array(
            k.per_key, k.while_parked, k.stand, k.turn, k.root, k.depth, j.aside = 2,
            CASE WHEN o.queue IS NOT NULL
                THEN json_build_array(o.per_key, o.places, o.holders, o.line, o.paused)
            END
        )
        FROM aiq_keyed AS k LEFT JOIN aiq_keys AS o ON o.queue = k.queue AND o.order_key = k.order_key
        WHERE k.n = j.n
    ) END
)), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_jobs AS j ON j.id = asked.value;

-- name: whole
-- Everything but the errors. OFFSET 0 lets each job be looked up by itself: those who only read may join as they like,
-- and the planner would read whole tables where it does not know how large they have become.
SELECT
    coalesce(json_agg(json_build_array(
        j.n, j.errors,
        CASE WHEN j.order_key IS NOT NULL THEN (
            SELECT json_build_array(k.per_key, k.while_parked) FROM aiq_keyed AS k WHERE k.n = j.n
        ) END,
        j.id, j.task, j.queue, s.digest, j.band, j.delay_ms, j.at_ms, j.lease_ms, s.timeout_ms,
        j.max_attempts, j.max_stalls, j.flow, j.on_upstream, s.child_of, s.on_parent, j.tenant, j.order_key, j.unique_key,
        j.max_deferral_ms,
        CASE
            WHEN j.plain = 1 THEN NULL
            WHEN j.deferred_at_ms IS NULL AND j.resumes = 0 AND j.opened_calls = 0 AND j.route = 0
                AND j.closed_routes = 0 AND j.held IS NULL
                THEN (SELECT to_json(t.terms) FROM aiq_terms AS t WHERE t.n = j.n)
            ELSE json_build_array(
                j.deferred_at_ms, j.resumes, j.opened_calls, j.route, j.closed_routes, j.held, j.held_by,
                CASE WHEN j.gated = 1 THEN (SELECT t.terms FROM aiq_terms AS t WHERE t.n = j.n) END
            )
        END,
        j.deadline_ms, j.keep_ms, j.state, j.generation, j.fence, j.failures, j.stalls, j.lane, j.position, j.due_ms, j.lease_id,
        j.owner, j.expires_at_ms, j.cancel_requested_at_ms, j.cause, j.wait_key,
        coalesce(w.total - w.succeeded - w.failed, 0), j.parent_id, j.steps > 0, j.kept_signals, j.chunks, j.late,
        j.events, j.created_at_ms, j.started_at_ms, j.finished_at_ms, s.origin, s.depends_on::json,
        octet_length(s.payload), octet_length(r.result), octet_length(c.data)
    )), '[]'::json),
    coalesce(string_agg(s.payload, ''::bytea), ''::bytea),
    coalesce(string_agg(r.result, ''::bytea), ''::bytea),
    coalesce(string_agg(c.data, ''::bytea), ''::bytea)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
CROSS JOIN LATERAL (SELECT * FROM aiq_jobs WHERE n = asked.value::bigint OFFSET 0) AS j
CROSS JOIN LATERAL (SELECT * FROM aiq_specs WHERE n = j.n OFFSET 0) AS s
LEFT JOIN LATERAL (SELECT result FROM aiq_results WHERE n = j.n OFFSET 0) AS r ON true
LEFT JOIN LATERAL (SELECT data FROM aiq_chunks WHERE n = j.n AND number = j.progress_number OFFSET 0) AS c ON true
LEFT JOIN LATERAL (
    SELECT total, succeeded, failed FROM aiq_waits
    WHERE j.state = 'waiting' AND n = j.n AND wait_key = j.wait_key OFFSET 0
) AS w ON true;

-- name: errors
-- Of each job, in the order in which they happened when they are sorted by the first two.
SELECT coalesce(json_agg(json_build_array(
    e.n, e.number, e.type, e.message, e.traceback, e.cause, e.at_ms, e.fence, e.attempt,
    e.fingerprint, e.code, e.place, e.pattern
)), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
JOIN aiq_errors AS e ON e.n = asked.value::bigint;

-- name: sizes
-- The bytes of payloads and results, by id, where there is a job.
SELECT coalesce(
    json_agg(json_build_array(j.id, octet_length(s.payload) + coalesce(octet_length(r.result), 0))), '[]'::json
)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_jobs AS j ON j.id = asked.value
JOIN aiq_specs AS s ON s.n = j.n
LEFT JOIN aiq_results AS r ON r.n = j.n;

-- name: numbers
-- From ids to numbers, where there is a job.
SELECT coalesce(json_agg(j.n), '[]'::json)
FROM jsonb_array_elements_text(:ids::jsonb) AS asked(value)
JOIN aiq_jobs AS j ON j.id = asked.value;
