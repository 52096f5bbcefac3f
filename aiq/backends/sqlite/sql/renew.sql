-- renew: move the end of leases that the caller owns.
-- spec: LEASE-3, LEASE-12, STATE-5

-- name: extend
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET expires_at_ms = json_extract(item, '$.expires_at_ms')
FROM given
WHERE n = json_extract(item, '$.n');

-- name: paused
SELECT json_group_array(name) FROM aiq_queues WHERE paused = 1;
