-- renew: move the end of leases that the caller owns.
-- spec: LEASE-3, LEASE-12, STATE-5

-- name: extend
UPDATE aiq_jobs SET expires_at_ms = :expires_at_ms WHERE n = :n;

-- name: paused
SELECT name FROM aiq_queues WHERE paused = 1;
