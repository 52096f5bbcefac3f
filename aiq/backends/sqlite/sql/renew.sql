-- renew: move the end of leases that the caller owns.
-- spec: LEASE-3, LEASE-12, STATE-5

-- name: extend
UPDATE aiq_jobs SET expires_at_ms = json_extract(renewed.value, '$.expires_at_ms')
FROM json_each(:rows) AS renewed
WHERE n = json_extract(renewed.value, '$.n');

-- name: paused
SELECT json_group_array(name) FROM aiq_queues WHERE paused = 1;
