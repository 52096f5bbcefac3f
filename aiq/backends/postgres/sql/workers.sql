-- workers: what each of them last said of itself.
-- spec: WORK-1, WORK-2, WORK-3, WORK-4, WORK-5

-- name: beat
-- When it began is known from its first beat.
INSERT INTO aiq_workers (name, started_at_ms, beat_at_ms, body)
VALUES (:name, :started_at_ms, :now_ms, :body)
ON CONFLICT (name) DO UPDATE SET beat_at_ms = excluded.beat_at_ms, body = excluded.body;

-- name: leave
DELETE FROM aiq_workers WHERE name = :name;

-- name: page
SELECT started_at_ms, beat_at_ms, body FROM aiq_workers WHERE name > :after ORDER BY name LIMIT :limit;

-- name: silent
SELECT EXISTS (SELECT 1 FROM aiq_workers WHERE beat_at_ms <= :since_ms);

-- name: forget
DELETE FROM aiq_workers
WHERE name IN (
    SELECT name FROM aiq_workers WHERE beat_at_ms <= :since_ms ORDER BY beat_at_ms, name LIMIT :limit
);
