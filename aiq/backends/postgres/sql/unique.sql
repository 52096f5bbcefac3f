-- unique: who has which unique key.
-- Why its questions are fenced, and keys compared with arrays of one, is told in fan_in.sql.
-- spec: UNIQ-1, UNIQ-2, UNIQ-5, UNIQ-10

-- name: holders
SELECT coalesce(json_agg(json_build_array(
    u.task, u.key, u.job_id, u.how, u.last_id, u.last_digest, u.until_ms, u.state
)), '[]'::json)
FROM jsonb_array_elements(:keys::jsonb) AS asked(item)
CROSS JOIN LATERAL (SELECT * FROM aiq_unique WHERE task = asked.item->>0 AND key = asked.item->>1 LIMIT 1) AS u;

-- name: take
INSERT INTO aiq_unique (task, key, job_id, how, last_id, last_digest, until_ms)
SELECT item->>0, item->>1, item->>2, item->>3, item->>4, item->>5, (item->>6)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (task, key) DO UPDATE SET
    job_id = excluded.job_id, how = excluded.how, last_id = excluded.last_id, last_digest = excluded.last_digest,
    until_ms = excluded.until_ms, state = NULL;

-- name: free
DELETE FROM aiq_unique AS u
USING jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE u.task = ANY (ARRAY[item->>0]) AND u.key = item->>1 AND u.job_id = item->>2 AND u.until_ms IS NULL;

-- name: keep
-- How a job ended whose key is still taken: it may be gone before the key is. That `until_ms` is not NULL is said in a
-- roundabout way, since there is an index of all such rows.
UPDATE aiq_unique AS u SET state = item->>3
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE u.task = ANY (ARRAY[item->>0]) AND u.key = item->>1 AND u.job_id = item->>2
    AND coalesce(u.until_ms, -1) >= 0;

-- name: forget
-- By their places in the table: a plan that looks rows up by two columns, and any number of them, reads all others too.
DELETE FROM aiq_unique
WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM aiq_unique
    WHERE until_ms IS NOT NULL AND until_ms <= :now_ms
    ORDER BY until_ms, task, key
    LIMIT :limit
));
