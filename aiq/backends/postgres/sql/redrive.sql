-- redrive: what a job begins its next generation with, beside its move.
-- Why its questions are fenced, and keys compared with arrays of one, is told in fan_in.sql.
-- spec: DEAD-11, DEAD-12, DEAD-14, DEAD-15, DEAD-16, DEAD-17, DEAD-19, DEAD-20, DEAD-26

-- name: seen
-- What a redrive looks at of some jobs, beside what every step reads: by which redrive they have their generation, and
-- how their parent stands.
SELECT coalesce(json_agg(json_build_array(j.id, r.redrive_id, p.state)), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
CROSS JOIN LATERAL (SELECT n, id, parent_id FROM aiq_jobs WHERE n = asked.value::bigint LIMIT 1) AS j
LEFT JOIN LATERAL (SELECT redrive_id FROM aiq_redriven WHERE n = j.n LIMIT 1) AS r ON true
LEFT JOIN LATERAL (SELECT state FROM aiq_jobs WHERE id = j.parent_id LIMIT 1) AS p ON true;

-- name: edges
-- What the waits of some jobs come to: dependencies; and waits on children, with the children that ended badly in these.
SELECT coalesce(json_agg(json_build_array(s.n, s.dependencies, s.others)), '[]'::json)
FROM (
    SELECT
        w.n, sum(CASE WHEN w.wait_key = '' THEN w.total ELSE 0 END) AS dependencies,
        sum(CASE WHEN w.wait_key = '' THEN 0 ELSE 1 + w.failed END) AS others
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (SELECT n, wait_key, total, failed FROM aiq_waits WHERE n = asked.value::bigint OFFSET 0) AS w
    GROUP BY w.n
) AS s;

-- name: begin
UPDATE aiq_jobs AS j SET
    generation = given.generation,
    queue = given.queue,
    band = given.band,
    parent_id = given.parent_id,
    gated = given.gated,
    cancel_requested_at_ms = NULL,
    deadline_ms = NULL
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, generation bigint, queue text, band smallint, parent_id text, gated smallint
)
WHERE j.n = ANY (ARRAY[given.n]);

-- name: payload
UPDATE aiq_specs SET payload = :payload WHERE n = :n;

-- name: terms
INSERT INTO aiq_terms (n, terms) VALUES (:n, :terms) ON CONFLICT (n) DO UPDATE SET terms = excluded.terms;

-- name: forget_steps
DELETE FROM aiq_steps WHERE n = :n;

-- name: forget_step
DELETE FROM aiq_steps WHERE n = :n AND step_key = :key;

-- name: void_marker
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void) VALUES (:n, :number, :number, :fence, NULL, 0);

-- name: upstreams
-- The dependencies of a job, as they stand now, and what its wait has counted of each.
SELECT coalesce(json_agg(json_build_array(u.id, u.state, e.upstream, e.ended, e.succeeded)), '[]'::json)
FROM (SELECT upstream, ended, succeeded FROM aiq_edges WHERE dependent = :n AND wait_key = '' OFFSET 0) AS e
CROSS JOIN LATERAL (SELECT id, state FROM aiq_jobs WHERE n = e.upstream LIMIT 1) AS u;

-- name: waits_on_children
SELECT coalesce(json_agg(json_build_array(w.wait_key, EXISTS (
    SELECT 1 FROM aiq_steps AS s WHERE s.n = w.n AND s.step_key = w.wait_key
))), '[]'::json)
FROM aiq_waits AS w
WHERE w.n = :n AND w.wait_key <> '' AND w.failed > 0;

-- name: open_edges
-- Those of children that did not succeed, to be flipped again.
UPDATE aiq_edges SET ended = 0 WHERE dependent = :n AND wait_key = :key AND succeeded = 0;

-- name: put_edge
UPDATE aiq_edges SET ended = :ended, succeeded = :succeeded
WHERE dependent = :n AND wait_key = :key AND upstream = :upstream;

-- name: to_redrive
-- The children that have ended, and that their parent waits for again, in the order in which they were enqueued.
SELECT coalesce(json_agg(json_build_array(s.n, s.id)), '[]'::json)
FROM (
    SELECT u.n, u.id
    FROM (SELECT upstream, ended FROM aiq_edges WHERE dependent = :n AND wait_key = :key OFFSET 0) AS e
    CROSS JOIN LATERAL (SELECT n, id, state FROM aiq_jobs WHERE n = e.upstream LIMIT 1) AS u
    WHERE e.ended = 0 AND u.state IN ('succeeded', 'dead', 'cancelled')
    ORDER BY u.n
    LIMIT :limit
) AS s;
