-- steps: remembered sub-results.
-- spec: STEP-1, STEP-3, STEP-5

-- name: find
SELECT step_key, kind, value, digest, fence FROM aiq_steps WHERE n = :n AND step_key = :key;

-- name: add
INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence) VALUES (:n, :key, :kind, :value, :digest, :fence);

-- name: count
UPDATE aiq_jobs SET steps = steps + 1 WHERE n = :n;

-- name: page
SELECT step_key, kind, value, digest, fence
FROM aiq_steps
WHERE n = :n AND step_key > :after
ORDER BY step_key
LIMIT :limit;

-- name: saved_by
-- Which run saved each of some steps.
SELECT s.step_key, s.fence
FROM json_each(:keys) AS asked
CROSS JOIN aiq_steps AS s ON s.n = :n AND s.step_key = asked.value;
