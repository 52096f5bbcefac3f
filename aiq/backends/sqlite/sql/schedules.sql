-- schedules: what is stored of schedules. Those of a page come with the place that they have in it.
-- spec: SCHED-1, SCHED-6, SCHED-7, SCHED-15, SCHED-16, SCHED-19, SCHED-20, STORE-13

-- name: named
SELECT json_group_array(json_array(
    place, json(spec), revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
))
FROM (
    SELECT s.*, asked.key AS place, sum(s.size) OVER (ORDER BY asked.key) - s.size AS before
    FROM json_each(:names) AS asked
    CROSS JOIN aiq_schedules AS s ON s.name = asked.value
)
WHERE before < :bytes;

-- name: listed
SELECT json_group_array(json_array(
    place, json(spec), revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
))
FROM (
    SELECT *, row_number() OVER (ORDER BY name) AS place, sum(size) OVER (ORDER BY name) - size AS before
    FROM (SELECT * FROM aiq_schedules WHERE name > :after ORDER BY name LIMIT :limit)
)
WHERE before < :bytes;

-- name: due
SELECT json_group_array(json_array(
    place, json(spec), revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
))
FROM (
    SELECT *, row_number() OVER (ORDER BY due_ms, name) AS place,
        sum(size) OVER (ORDER BY due_ms, name) - size AS before
    FROM (
        SELECT * FROM aiq_schedules WHERE due_ms IS NOT NULL AND due_ms <= :now_ms ORDER BY due_ms, name LIMIT :limit
    )
)
WHERE before < :bytes;

-- name: waiting_for
SELECT json_group_array(json_array(
    0, json(spec), revision, paused, phase, next_ms, passed_ms, fires, skipped, refused, last_job_id,
    last_fired_ms, error
))
FROM aiq_schedules
WHERE awaited IS NOT NULL AND awaited = :job_id;

-- name: count_due
SELECT count(*)
FROM (SELECT 1 FROM aiq_schedules WHERE due_ms IS NOT NULL AND due_ms <= :now_ms LIMIT :limit);

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
DELETE FROM aiq_schedules WHERE name IN (SELECT value FROM json_each(:names));
