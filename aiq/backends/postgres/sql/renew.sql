-- renew: move the end of leases that the caller owns.
-- spec: LEASE-3, LEASE-12, STATE-5

-- name: extend
UPDATE aiq_live AS j SET expires_at_ms = given.expires_at_ms
FROM json_to_recordset(:rows::json) AS given(n bigint, expires_at_ms bigint)
WHERE j.n = given.n;

-- name: paused
SELECT coalesce(json_agg(name), '[]'::json) FROM aiq_queues WHERE paused = 1;
