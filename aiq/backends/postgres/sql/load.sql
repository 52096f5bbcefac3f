-- load: take in what another storage held. What stands there already stays.
-- spec: MOVE-1, MOVE-2, MOVE-5

-- name: any_job
SELECT EXISTS (SELECT 1 FROM aiq_jobs);

-- name: grant
INSERT INTO aiq_grants (budget, grant_id, window_ms)
SELECT item ->> 0, item ->> 1, (item ->> 2)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: price
INSERT INTO aiq_prices (model, category, from_ms, usd_micros_per_million)
SELECT item ->> 0, item ->> 1, (item ->> 2)::bigint, (item ->> 3)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: job
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, fence, lease_id, owner, expires_at_ms,
    cancel_requested_at_ms, generation, failures, stalls, cause, late, wait_key, wait_signal, task, lease_ms,
    max_attempts, max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key,
    kept_signals, chunks, errors, events, created_at_ms, started_at_ms, finished_at_ms, gated, max_deferral_ms,
    deferred_at_ms, resumes, opened_calls, route, closed_routes, held, held_by, keep_ms, patience_end_ms, since_ms, aside
)
SELECT
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, fence, lease_id, owner, expires_at_ms,
    cancel_requested_at_ms, generation, failures, stalls, cause, late::int, wait_key, wait_signal, task, lease_ms,
    max_attempts, max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, key, "unique",
    kept_signals, chunks, errors, events, created_at_ms, started_at_ms, finished_at_ms, gated::int, max_deferral_ms,
    deferred_at_ms, resumes::int, opened_calls::int, route, closed_routes, held, held_by, keep_ms, patience_end_ms,
    since_ms, aside
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, id text, state text, queue text, band smallint, pool text, tenant text, lane smallint, position bigint,
    due_ms bigint, fence bigint, lease_id text, owner text, expires_at_ms bigint, cancel_requested_at_ms bigint,
    generation bigint, failures bigint, stalls bigint, cause text, late boolean, wait_key text, wait_signal text,
    task text, lease_ms bigint, max_attempts bigint, max_stalls bigint, delay_ms bigint, at_ms bigint,
    deadline_ms bigint, flow text, parent_id text, on_upstream text, key text, "unique" text, kept_signals bigint,
    chunks bigint, errors bigint, events bigint, created_at_ms bigint, started_at_ms bigint, finished_at_ms bigint,
    gated boolean, max_deferral_ms bigint, deferred_at_ms bigint, resumes boolean, opened_calls boolean, route bigint,
    closed_routes bigint, held text, held_by text, keep_ms bigint, patience_end_ms bigint, since_ms bigint,
    aside smallint
);

-- name: unique
INSERT INTO aiq_unique (task, key, job_id, how, last_id, last_digest, until_ms, state)
SELECT item ->> 0, item ->> 1, item ->> 2, item ->> 3, item ->> 4, item ->> 5, (item ->> 6)::bigint, item ->> 7
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: group
INSERT INTO aiq_dead_groups (
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
)
SELECT
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    fingerprint text, task text, cause text, type text, code text, place text, pattern text, first_seen_ms bigint,
    last_seen_ms bigint, dead bigint, died bigint, attempts bigint, tokens bigint, usd_micros bigint, redriven bigint,
    recovered bigint, relapsed bigint, touched_at_ms bigint
)
ON CONFLICT DO NOTHING;

-- name: death
INSERT INTO aiq_deaths (n, fingerprint, died_at_ms, tokens, usd_micros, sample)
SELECT n, fingerprint, died_at_ms, tokens, usd_micros, sample
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, fingerprint text, died_at_ms bigint, tokens bigint, usd_micros bigint, sample text
);

-- name: redriven
INSERT INTO aiq_redriven (n, redrive_id, fingerprint, tokens, usd_micros)
SELECT n, redrive_id, fingerprint, tokens, usd_micros
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, redrive_id text, fingerprint text, tokens bigint, usd_micros bigint
);

-- name: keyed
INSERT INTO aiq_keyed (n, queue, order_key, stand, root, depth, turn, per_key, while_parked)
SELECT
    (item ->> 0)::bigint, item ->> 1, item ->> 2, (item ->> 3)::smallint, (item ->> 4)::bigint, (item ->> 5)::bigint,
    (item ->> 6)::bigint, (item ->> 7)::bigint, item ->> 8
FROM jsonb_array_elements(:rows::jsonb) AS given(item);

-- name: parents
UPDATE aiq_jobs SET children = 1
WHERE id IN (SELECT item ->> 0 FROM jsonb_array_elements(:rows::jsonb) AS given(item));

-- name: hold
-- The places come from elsewhere. Whoever is held next takes the one behind the last, not that of a sequence.
INSERT INTO aiq_holds (number, n, line, held_by, reason, need)
SELECT (item ->> 0)::bigint, (item ->> 1)::bigint, item ->> 2, item ->> 3, item ->> 4, item ->> 5
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: hold_lines
SELECT coalesce(json_agg(json_build_array(line, held_by)), '[]'::json)
FROM (SELECT DISTINCT line, held_by FROM aiq_holds) AS found;

-- name: answer
UPDATE aiq_jobs SET
    settled_id = item ->> 1, settled_state = item ->> 2, settled_late = (item ->> 3)::boolean::int,
    settled_step = item ->> 4
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE id = item ->> 0;

-- name: wait
INSERT INTO aiq_waits (n, wait_key, total, succeeded, failed, need, rest, first_failed)
SELECT
    j.n, item ->> 1, (item ->> 2)::bigint, (item ->> 3)::bigint, (item ->> 4)::bigint, (item ->> 5)::bigint,
    item ->> 6, item ->> 7
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
JOIN aiq_jobs AS j ON j.id = item ->> 0
ON CONFLICT DO NOTHING;

-- name: edge
INSERT INTO aiq_edges (upstream, dependent, wait_key, dependent_id, ended, succeeded)
SELECT u.n, d.n, item ->> 2, d.id, (item ->> 3)::bigint, (item ->> 4)::boolean::int
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
JOIN aiq_jobs AS u ON u.id = item ->> 0
JOIN aiq_jobs AS d ON d.id = item ->> 1
ON CONFLICT DO NOTHING;

-- name: awaited
UPDATE aiq_jobs SET dependents = dependents | 1
WHERE id IN (SELECT item ->> 0 FROM jsonb_array_elements(:rows::jsonb) AS given(item));

-- name: step
INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence)
SELECT
    j.n, given.key, given.kind,
    substring(:blobs::bytea FROM (given.value ->> 0)::int FOR (given.value ->> 1)::int), given.digest, given.fence
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    job_id text, key text, kind text, value jsonb, digest text, fence bigint
)
JOIN aiq_jobs AS j ON j.id = given.job_id
ON CONFLICT DO NOTHING;

-- name: count_steps
UPDATE aiq_jobs SET steps = (SELECT count(*) FROM aiq_steps AS s WHERE s.n = aiq_jobs.n)
WHERE id IN (SELECT item ->> 0 FROM jsonb_array_elements(:rows::jsonb) AS given(item));

-- name: signal
-- Their own numbers tell in which order they were sent.
INSERT INTO aiq_signals (n, signal_id, name, payload, kept, bound, over_ms)
SELECT
    j.n, item ->> 'id', item ->> 'name',
    substring(:blobs::bytea FROM (item #>> '{payload,0}')::int FOR (item #>> '{payload,1}')::int),
    (item ->> 'kept')::boolean::int, (item ->> 'bound')::boolean::int, (item ->> 'over_ms')::bigint
FROM jsonb_array_elements(:rows::jsonb) WITH ORDINALITY AS given(item, place)
JOIN aiq_jobs AS j ON j.id = item ->> 'job_id'
ORDER BY place
ON CONFLICT DO NOTHING;

-- name: item
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
SELECT
    given.change, j.n, given.number, given.kind,
    substring(:blobs::bytea FROM (given.data ->> 0)::int FOR (given.data ->> 1)::int),
    given.fence, given.seq, given.step, given.at_ms
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    change bigint, job_id text, number bigint, kind text, data jsonb, fence bigint, seq bigint, step text, at_ms bigint
)
JOIN aiq_jobs AS j ON j.id = given.job_id
ON CONFLICT DO NOTHING;

-- name: count_items
-- What a job knows of its stream.
UPDATE aiq_jobs AS j SET
    stream_bytes = (
        SELECT coalesce(sum(octet_length(c.data) + (item ->> 1)::bigint), 0)::bigint FROM aiq_chunks AS c
        WHERE c.n = j.n AND c.seq IS NOT NULL
    ),
    run_seq = (SELECT coalesce(max(c.seq), 0) FROM aiq_chunks AS c WHERE c.n = j.n AND c.fence = j.fence),
    progress_number = (SELECT max(c.number) FROM aiq_chunks AS c WHERE c.n = j.n AND c.kind = 'progress')
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.id = item ->> 0;

-- name: range
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void)
SELECT
    j.n, (item ->> 1)::bigint, (item ->> 2)::bigint, (item ->> 3)::bigint, item ->> 4, (item ->> 5)::boolean::int
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
JOIN aiq_jobs AS j ON j.id = item ->> 0
ON CONFLICT DO NOTHING;

-- name: trimmed
UPDATE aiq_counters SET trimmed = :change WHERE trimmed = 0;

-- name: event
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence, cause)
SELECT
    (item ->> 0)::bigint, coalesce(j.n, t.n), (item ->> 2)::bigint, (item ->> 3)::bigint, item ->> 4, item ->> 5,
    item ->> 6, (item ->> 7)::bigint, item ->> 8
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
LEFT JOIN aiq_jobs AS j ON j.id = item ->> 1
LEFT JOIN aiq_tombstones AS t ON t.id = item ->> 1
WHERE coalesce(j.n, t.n) IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: count_events
UPDATE aiq_counters SET events = (SELECT count(*) FROM aiq_events);

-- name: minute
INSERT INTO aiq_minutes (
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled, waited_ms,
    waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)
SELECT
    (item ->> 0)::bigint, item ->> 1, item ->> 2, (item ->> 3)::bigint, (item ->> 4)::bigint, (item ->> 5)::bigint,
    (item ->> 6)::bigint, (item ->> 7)::bigint, (item ->> 8)::bigint, (item ->> 9)::bigint, (item ->> 10)::bigint,
    (item ->> 11)::bigint, (item ->> 12)::bigint, (item ->> 13)::bigint, (item ->> 14)::bigint, (item ->> 15)::bigint,
    (item ->> 16)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: tombstone
INSERT INTO aiq_tombstones (n, id, digest, state, task, queue, until_ms)
SELECT (item ->> 0)::bigint, item ->> 1, item ->> 2, item ->> 3, item ->> 4, item ->> 5, (item ->> 6)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: remains
INSERT INTO aiq_remains (n, job_id, parent_id, flow, due_ms)
SELECT coalesce(t.n, 0), item ->> 0, item ->> 1, item ->> 2, (item ->> 3)::bigint
FROM jsonb_array_elements(:rows::jsonb) WITH ORDINALITY AS given(item, place)
LEFT JOIN aiq_tombstones AS t ON t.id = item ->> 0
WHERE NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.job_id = item ->> 0)
ORDER BY place;

-- name: usage
INSERT INTO aiq_usage (scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated)
SELECT
    item ->> 0, item ->> 1, (item ->> 2)::bigint, item ->> 3, item ->> 4, (item ->> 5)::bigint, (item ->> 6)::bigint,
    (item ->> 7)::bigint, (item ->> 8)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT DO NOTHING;

-- name: outgoing
INSERT INTO aiq_outbox (kind, n, wait_key)
SELECT item ->> 0, j.n, item ->> 2
FROM jsonb_array_elements(:rows::jsonb) WITH ORDINALITY AS given(item, place)
JOIN aiq_jobs AS j ON j.id = item ->> 1
WHERE NOT EXISTS (
    SELECT 1 FROM aiq_outbox AS o WHERE o.n = j.n AND o.kind = item ->> 0 AND o.wait_key = item ->> 2
)
ORDER BY place;
