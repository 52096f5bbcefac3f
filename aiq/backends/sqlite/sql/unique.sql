-- unique: who has which unique key.
-- spec: UNIQ-1, UNIQ-2, UNIQ-5, UNIQ-10

-- name: holders
SELECT json_group_array(json_array(u.task, u.key, u.job_id, u.how, u.last_id, u.last_digest, u.until_ms, u.state))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_unique AS u
    ON u.task = json_extract(asked.value, '$[0]') AND u.key = json_extract(asked.value, '$[1]');

-- name: take
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_unique (task, key, job_id, how, last_id, last_digest, until_ms)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]')
FROM given
WHERE true
ON CONFLICT (task, key) DO UPDATE SET
    job_id = excluded.job_id, how = excluded.how, last_id = excluded.last_id, last_digest = excluded.last_digest,
    until_ms = excluded.until_ms, state = NULL;

-- name: free
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_unique
WHERE until_ms IS NULL AND (task, key, job_id) IN (
    SELECT json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]') FROM given
);

-- name: keep
-- How a job ended whose key is still taken: it may be gone before the key is.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_unique SET state = json_extract(item, '$[3]')
FROM given
WHERE task = json_extract(item, '$[0]') AND key = json_extract(item, '$[1]') AND job_id = json_extract(item, '$[2]')
    AND until_ms IS NOT NULL;

-- name: forget
DELETE FROM aiq_unique
WHERE (task, key) IN (
    SELECT task, key FROM aiq_unique
    WHERE until_ms IS NOT NULL AND until_ms <= :now_ms
    ORDER BY until_ms, task, key
    LIMIT :limit
);
