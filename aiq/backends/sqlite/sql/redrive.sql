-- redrive: what a job begins its next generation with, beside its move.
-- spec: DEAD-11, DEAD-12, DEAD-14, DEAD-15, DEAD-16, DEAD-17, DEAD-19, DEAD-20, DEAD-26

-- name: seen
-- What a redrive looks at of some jobs, beside what every step reads: by which redrive they have their generation, and
-- how their parent stands.
SELECT json_group_array(json_array(j.id, r.redrive_id, p.state))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
LEFT JOIN aiq_redriven AS r ON r.n = j.n
LEFT JOIN aiq_jobs AS p ON p.id = j.parent_id;

-- name: edges
-- What the waits of some jobs come to: dependencies; and waits on children, with the children that ended badly in these.
SELECT json_group_array(json_array(n, dependencies, others))
FROM (
    SELECT
        w.n, sum(CASE WHEN w.wait_key = '' THEN w.total ELSE 0 END) AS dependencies,
        sum(CASE WHEN w.wait_key = '' THEN 0 ELSE 1 + w.failed END) AS others
    FROM json_each(:ns) AS asked
    CROSS JOIN aiq_waits AS w ON w.n = asked.value
    GROUP BY w.n
);

-- name: begin
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    generation = json_extract(item, '$.generation'),
    queue = json_extract(item, '$.queue'),
    band = json_extract(item, '$.band'),
    parent_id = json_extract(item, '$.parent_id'),
    gated = json_extract(item, '$.gated'),
    cancel_requested_at_ms = NULL,
    deadline_ms = NULL
FROM given
WHERE n = json_extract(item, '$.n');

-- name: payload
UPDATE aiq_specs SET payload = :payload WHERE n = :n;

-- name: terms
INSERT OR REPLACE INTO aiq_terms (n, terms) VALUES (:n, :terms);

-- name: forget_steps
DELETE FROM aiq_steps WHERE n = :n;

-- name: forget_step
DELETE FROM aiq_steps WHERE n = :n AND step_key = :key;

-- name: void_marker
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void) VALUES (:n, :number, :number, :fence, NULL, 0);

-- name: upstreams
-- The dependencies of a job, as they stand now, and what its wait has counted of each.
SELECT json_group_array(json_array(u.id, u.state, e.upstream, e.ended, e.succeeded))
FROM aiq_edges AS e
JOIN aiq_jobs AS u ON u.n = e.upstream
WHERE e.dependent = :n AND e.wait_key = '';

-- name: waits_on_children
SELECT json_group_array(json_array(w.wait_key, EXISTS (
    SELECT 1 FROM aiq_steps AS s WHERE s.n = w.n AND s.step_key = w.wait_key
)))
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
SELECT json_group_array(json_array(n, id))
FROM (
    SELECT u.n, u.id
    FROM aiq_edges AS e
    JOIN aiq_jobs AS u ON u.n = e.upstream
    WHERE e.dependent = :n AND e.wait_key = :key AND e.ended = 0 AND u.state IN ('succeeded', 'dead', 'cancelled')
    ORDER BY u.n
    LIMIT :limit
);
