-- steps: remembered sub-results.
-- spec: STEP-1, STEP-3, STEP-5, STORE-13

-- name: find
SELECT step_key, kind, digest, fence, value FROM aiq_steps WHERE n = :n AND step_key = :key;

-- name: add
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.key'), json_extract(item, '$.kind'),
    substr(:blobs, json_extract(item, '$.value[0]'), json_extract(item, '$.value[1]')),
    json_extract(item, '$.digest'), json_extract(item, '$.fence')
FROM given;

-- name: count
UPDATE aiq_jobs SET steps = :steps WHERE n = :n;

-- name: page
-- Values are read only of those that go into the page.
SELECT
    json_group_array(json_array(s.step_key, s.kind, s.digest, s.fence, length(s.value))),
    CAST(group_concat(CAST(s.value AS TEXT), '') AS BLOB)
FROM (
    SELECT step_key, sum(size) OVER (ORDER BY step_key) - size AS before
    FROM (
        SELECT step_key, length(value) AS size
        FROM aiq_steps
        WHERE n = :n AND step_key > :after
        ORDER BY step_key
        LIMIT :limit
    )
) AS page
CROSS JOIN aiq_steps AS s ON s.n = :n AND s.step_key = page.step_key
WHERE page.before < :bytes;

-- name: saved_by
-- Which run saved each of some steps.
SELECT json_group_array(json_array(s.step_key, s.fence))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_steps AS s ON s.n = :n AND s.step_key = asked.value;
