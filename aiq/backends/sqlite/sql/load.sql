-- load: take in what another storage held. What stands there already stays.
-- spec: MOVE-1, MOVE-2, MOVE-5

-- name: any_job
SELECT EXISTS (SELECT 1 FROM aiq_jobs);

-- name: grant
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_grants (budget, grant_id, window_ms)
SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]') FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: price
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_prices (model, category, from_ms, usd_micros_per_million)
SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: job
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, fence, lease_id, owner, expires_at_ms,
    cancel_requested_at_ms, generation, failures, stalls, cause, late, wait_key, wait_signal, task, lease_ms,
    max_attempts, max_stalls, delay_ms, at_ms, deadline_ms, flow, parent_id, on_upstream, order_key, unique_key,
    kept_signals, chunks, errors, events, created_at_ms, started_at_ms, finished_at_ms, gated, max_deferral_ms,
    deferred_at_ms, resumes, opened_calls, route, closed_routes, held, held_by, keep_ms, patience_end_ms, since_ms, aside
)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.id'), json_extract(item, '$.state'), json_extract(item, '$.queue'),
    json_extract(item, '$.band'), json_extract(item, '$.pool'), json_extract(item, '$.tenant'),
    json_extract(item, '$.lane'), json_extract(item, '$.position'), json_extract(item, '$.due_ms'),
    json_extract(item, '$.fence'), json_extract(item, '$.lease_id'), json_extract(item, '$.owner'),
    json_extract(item, '$.expires_at_ms'), json_extract(item, '$.cancel_requested_at_ms'),
    json_extract(item, '$.generation'), json_extract(item, '$.failures'), json_extract(item, '$.stalls'),
    json_extract(item, '$.cause'), json_extract(item, '$.late'), json_extract(item, '$.wait_key'),
    json_extract(item, '$.wait_signal'), json_extract(item, '$.task'), json_extract(item, '$.lease_ms'),
    json_extract(item, '$.max_attempts'), json_extract(item, '$.max_stalls'), json_extract(item, '$.delay_ms'),
    json_extract(item, '$.at_ms'), json_extract(item, '$.deadline_ms'), json_extract(item, '$.flow'),
    json_extract(item, '$.parent_id'), json_extract(item, '$.on_upstream'), json_extract(item, '$.key'),
    json_extract(item, '$.unique'), json_extract(item, '$.kept_signals'), json_extract(item, '$.chunks'),
    json_extract(item, '$.errors'), json_extract(item, '$.events'), json_extract(item, '$.created_at_ms'),
    json_extract(item, '$.started_at_ms'), json_extract(item, '$.finished_at_ms'), json_extract(item, '$.gated'),
    json_extract(item, '$.max_deferral_ms'), json_extract(item, '$.deferred_at_ms'), json_extract(item, '$.resumes'),
    json_extract(item, '$.opened_calls'), json_extract(item, '$.route'), json_extract(item, '$.closed_routes'),
    json_extract(item, '$.held'), json_extract(item, '$.held_by'), json_extract(item, '$.keep_ms'),
    json_extract(item, '$.patience_end_ms'), json_extract(item, '$.since_ms'), json_extract(item, '$.aside')
FROM given;

-- name: unique
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_unique (task, key, job_id, how, last_id, last_digest, until_ms, state)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: group
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_dead_groups (
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
)
SELECT
    json_extract(item, '$.fingerprint'), json_extract(item, '$.task'), json_extract(item, '$.cause'),
    json_extract(item, '$.type'), json_extract(item, '$.code'), json_extract(item, '$.place'),
    json_extract(item, '$.pattern'), json_extract(item, '$.first_seen_ms'), json_extract(item, '$.last_seen_ms'),
    json_extract(item, '$.dead'), json_extract(item, '$.died'), json_extract(item, '$.attempts'),
    json_extract(item, '$.tokens'), json_extract(item, '$.usd_micros'), json_extract(item, '$.redriven'),
    json_extract(item, '$.recovered'), json_extract(item, '$.relapsed'), json_extract(item, '$.touched_at_ms')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: death
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_deaths (n, fingerprint, died_at_ms, tokens, usd_micros, sample)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.fingerprint'), json_extract(item, '$.died_at_ms'),
    json_extract(item, '$.tokens'), json_extract(item, '$.usd_micros'), json_extract(item, '$.sample')
FROM given;

-- name: redriven
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_redriven (n, redrive_id, fingerprint, tokens, usd_micros)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.redrive_id'), json_extract(item, '$.fingerprint'),
    json_extract(item, '$.tokens'), json_extract(item, '$.usd_micros')
FROM given;

-- name: keyed
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_keyed (n, queue, order_key, stand, root, depth, turn, per_key, while_parked)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]'),
    json_extract(item, '$[8]')
FROM given;

-- name: parents
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET children = 1 WHERE id IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: hold
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_holds (number, n, line, held_by, reason, need)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: hold_lines
SELECT json_group_array(json_array(line, held_by)) FROM (SELECT DISTINCT line, held_by FROM aiq_holds);

-- name: answer
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    settled_id = json_extract(item, '$[1]'), settled_state = json_extract(item, '$[2]'),
    settled_late = json_extract(item, '$[3]'), settled_step = json_extract(item, '$[4]')
FROM given
WHERE id = json_extract(item, '$[0]');

-- name: wait
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_waits (n, wait_key, total, succeeded, failed, need, rest, first_failed)
SELECT
    j.n, json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'), json_extract(item, '$[4]'),
    json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$[0]')
WHERE true
ON CONFLICT DO NOTHING;

-- name: edge
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_edges (upstream, dependent, wait_key, dependent_id, ended, succeeded)
SELECT
    u.n, d.n, json_extract(item, '$[2]'), d.id, json_extract(item, '$[3]'), json_extract(item, '$[4]')
FROM given
CROSS JOIN aiq_jobs AS u ON u.id = json_extract(item, '$[0]')
CROSS JOIN aiq_jobs AS d ON d.id = json_extract(item, '$[1]')
WHERE true
ON CONFLICT DO NOTHING;

-- name: awaited
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET dependents = dependents | 1 WHERE id IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: step
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence)
SELECT
    j.n, json_extract(item, '$.key'), json_extract(item, '$.kind'),
    substr(:blobs, json_extract(item, '$.value[0]'), json_extract(item, '$.value[1]')),
    json_extract(item, '$.digest'), json_extract(item, '$.fence')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$.job_id')
WHERE true
ON CONFLICT DO NOTHING;

-- name: count_steps
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET steps = (SELECT count(*) FROM aiq_steps AS s WHERE s.n = aiq_jobs.n)
WHERE id IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: signal
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_signals (n, signal_id, name, payload, kept, bound, over_ms)
SELECT
    j.n, json_extract(item, '$.id'), json_extract(item, '$.name'),
    substr(:blobs, json_extract(item, '$.payload[0]'), json_extract(item, '$.payload[1]')),
    json_extract(item, '$.kept'), json_extract(item, '$.bound'), json_extract(item, '$.over_ms')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$.job_id')
WHERE true
ON CONFLICT DO NOTHING;

-- name: item
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
SELECT
    json_extract(item, '$.change'), j.n, json_extract(item, '$.number'), json_extract(item, '$.kind'),
    substr(:blobs, json_extract(item, '$.data[0]'), json_extract(item, '$.data[1]')),
    json_extract(item, '$.fence'), json_extract(item, '$.seq'), json_extract(item, '$.step'),
    json_extract(item, '$.at_ms')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$.job_id')
WHERE true
ON CONFLICT DO NOTHING;

-- name: count_items
-- What a job knows of its stream.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    stream_bytes = (
        SELECT coalesce(sum(length(c.data) + (SELECT json_extract(item, '$[1]') FROM given LIMIT 1)), 0) FROM aiq_chunks AS c
        WHERE c.n = aiq_jobs.n AND c.seq IS NOT NULL
    ),
    run_seq = (
        SELECT coalesce(max(c.seq), 0) FROM aiq_chunks AS c WHERE c.n = aiq_jobs.n AND c.fence = aiq_jobs.fence
    ),
    progress_number = (SELECT max(c.number) FROM aiq_chunks AS c WHERE c.n = aiq_jobs.n AND c.kind = 'progress')
WHERE id IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: range
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void)
SELECT
    j.n, json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'), json_extract(item, '$[4]'),
    json_extract(item, '$[5]')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$[0]')
WHERE true
ON CONFLICT DO NOTHING;

-- name: trimmed
UPDATE aiq_counters SET trimmed = :change WHERE trimmed = 0;

-- name: event
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_events (change, n, number, at_ms, transition, source, target, fence, cause)
SELECT
    json_extract(item, '$[0]'), coalesce(j.n, t.n), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]'),
    json_extract(item, '$[8]')
FROM given
LEFT JOIN aiq_jobs AS j ON j.id = json_extract(item, '$[1]')
LEFT JOIN aiq_tombstones AS t ON t.id = json_extract(item, '$[1]')
WHERE coalesce(j.n, t.n) IS NOT NULL
ON CONFLICT DO NOTHING;

-- name: count_events
UPDATE aiq_counters SET events = (SELECT count(*) FROM aiq_events);

-- name: minute
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_minutes (
    minute_ms, queue, task, enqueued, started, ended, succeeded, failed, retried, dead, cancelled, waited_ms,
    waited_most_ms, ran_ms, ran_most_ms, tokens, usd_micros
)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]'),
    json_extract(item, '$[8]'), json_extract(item, '$[9]'), json_extract(item, '$[10]'), json_extract(item, '$[11]'),
    json_extract(item, '$[12]'), json_extract(item, '$[13]'), json_extract(item, '$[14]'), json_extract(item, '$[15]'),
    json_extract(item, '$[16]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: tombstone
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_tombstones (n, id, digest, state, task, queue, until_ms)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: remains
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_remains (n, job_id, parent_id, flow, due_ms)
SELECT
    coalesce(t.n, 0), json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'),
    json_extract(item, '$[3]')
FROM given
LEFT JOIN aiq_tombstones AS t ON t.id = json_extract(item, '$[0]')
WHERE NOT EXISTS (SELECT 1 FROM aiq_remains AS r WHERE r.job_id = json_extract(item, '$[0]'));

-- name: usage
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_usage (scope, owner, minute_ms, model, category, tokens, usd_micros, unpriced, estimated)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]'),
    json_extract(item, '$[8]')
FROM given
WHERE true
ON CONFLICT DO NOTHING;

-- name: outgoing
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_outbox (kind, n, wait_key)
SELECT json_extract(item, '$[0]'), j.n, json_extract(item, '$[2]')
FROM given
CROSS JOIN aiq_jobs AS j ON j.id = json_extract(item, '$[1]')
WHERE NOT EXISTS (
    SELECT 1 FROM aiq_outbox AS o
    WHERE o.n = j.n AND o.kind = json_extract(item, '$[0]') AND o.wait_key = json_extract(item, '$[2]')
);
