-- plain_enqueue: store new jobs that wait for nothing, take nothing and have no key.
-- What is a job's own stands in a table of this connection meanwhile; what jobs of one kind have in common is a
-- parameter, and so is neither written down nor read for each.
-- spec: ENQ-1, ENQ-2, ENQ-4, ENQ-5, ENQ-6

-- name: arriving
-- `turn` counts those that stand ready at once; the others have none.
CREATE TEMP TABLE IF NOT EXISTS aiq_new (
    place INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    digest TEXT NOT NULL,
    start INTEGER NOT NULL,
    size INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    turn INTEGER
);

-- name: any_settings
-- Whether one of some queues has a bound, or an order of its own.
SELECT EXISTS (
    SELECT 1 FROM json_each(:queues) AS asked CROSS JOIN aiq_queues AS q ON q.name = asked.value
    WHERE q.settings IS NOT NULL
);

-- name: new
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_new (place, id, digest, start, size, kind, turn)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]')
FROM given;

-- name: any_known
-- Whether an id was given before, to a job that is there or gone.
SELECT
    EXISTS (SELECT 1 FROM aiq_new CROSS JOIN aiq_jobs AS j ON j.id = aiq_new.id)
    OR EXISTS (SELECT 1 FROM aiq_new CROSS JOIN aiq_tombstones AS t ON t.id = aiq_new.id);

-- name: jobs
INSERT INTO aiq_jobs (
    n, id, state, queue, band, pool, tenant, lane, position, due_ms, task, lease_ms, max_attempts, max_stalls,
    delay_ms, at_ms, deadline_ms, flow, on_upstream, order_key, max_deferral_ms, keep_ms, events, created_at_ms, since_ms
)
SELECT
    :before_n + place, id, :state, :queue, :band, '', '', :lane, coalesce(:before_position + turn, 0), :due_ms, :task,
    :lease_ms, :max_attempts, :max_stalls, :delay_ms, :at_ms, :deadline_ms, :flow, :on_upstream, :key, :max_deferral_ms,
    :keep_ms, 1, :now_ms, :now_ms
FROM aiq_new
WHERE kind = :kind;

-- name: specs
INSERT INTO aiq_specs (n, digest, payload, timeout_ms, depends_on, limits, routes, origin)
SELECT :before_n + place, digest, substr(:payloads, start, size), :timeout_ms, '[]', '[]', '[]', :origin
FROM aiq_new
WHERE kind = :kind;

-- name: events
INSERT INTO aiq_events (change, n, number, at_ms, transition, target, fence)
SELECT :before + place, :before_n + place, 1, :now_ms, 'T1', CASE WHEN turn IS NULL THEN 'scheduled' ELSE 'ready' END, 0
FROM aiq_new;

-- name: clear
DELETE FROM aiq_new;
