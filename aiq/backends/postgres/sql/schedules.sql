-- schedules: what is stored of schedules. Those of a page come with the place that they have in it.
-- spec: SCHED-1, SCHED-6, SCHED-7, SCHED-15, SCHED-16, SCHED-19, SCHED-20, STORE-13

-- name: named
SELECT coalesce(json_agg(json_build_array(
    place, spec::json, revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
)), '[]'::json)
FROM (
    SELECT s.*, asked.place, sum(s.size) OVER (ORDER BY asked.place) - s.size AS before
    FROM jsonb_array_elements_text(:names::jsonb) WITH ORDINALITY AS asked(name, place)
    JOIN aiq_schedules AS s ON s.name = asked.name
) AS found
WHERE before < :bytes::bigint;

-- name: listed
SELECT coalesce(json_agg(json_build_array(
    place, spec::json, revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
)), '[]'::json)
FROM (
    SELECT *, row_number() OVER (ORDER BY name) AS place, sum(size) OVER (ORDER BY name) - size AS before
    FROM (SELECT * FROM aiq_schedules WHERE name > :after ORDER BY name LIMIT :limit) AS page
) AS found
WHERE before < :bytes::bigint;

-- name: due
SELECT coalesce(json_agg(json_build_array(
    place, spec::json, revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
)), '[]'::json)
FROM (
    SELECT *, row_number() OVER (ORDER BY due_ms, name) AS place,
        sum(size) OVER (ORDER BY due_ms, name) - size AS before
    FROM (
        SELECT * FROM aiq_schedules WHERE due_ms IS NOT NULL AND due_ms <= :now_ms ORDER BY due_ms, name LIMIT :limit
    ) AS page
) AS found
WHERE before < :bytes::bigint;

-- name: waiting_for
SELECT coalesce(json_agg(json_build_array(
    0, spec::json, revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
)), '[]'::json)
FROM aiq_schedules
WHERE awaited IS NOT NULL AND awaited = :job_id;

-- name: count_due
SELECT count(*)
FROM (
    SELECT 1 FROM aiq_schedules WHERE due_ms IS NOT NULL AND due_ms <= :now_ms ORDER BY due_ms, name LIMIT :limit
) AS found;

-- name: put
INSERT INTO aiq_schedules (
    name, spec, size, revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
)
VALUES (
    :name, :spec, :size, :revision, :paused, :phase, :next_ms, :passed_ms, :fires, :skipped, :refused, :last_job_id,
    :last_fired_ms, :error
)
ON CONFLICT (name) DO UPDATE SET spec = excluded.spec, size = excluded.size;

-- name: state
UPDATE aiq_schedules SET
    revision = :revision, paused = :paused, phase = :phase, next_ms = :next_ms, passed_ms = :passed_ms, fires = :fires,
    skipped = :skipped, refused = :refused, last_job_id = :last_job_id, last_fired_ms = :last_fired_ms, error = :error
WHERE name = :name;

-- name: await
-- The job is to tell, when it ends, that a schedule waits for it.
UPDATE aiq_jobs SET dependents = dependents | 2 WHERE id = :job_id;

-- name: delete
DELETE FROM aiq_schedules WHERE name IN (SELECT jsonb_array_elements_text(:names::jsonb));
