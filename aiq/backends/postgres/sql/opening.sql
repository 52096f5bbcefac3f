-- opening: what is asked when a step begins.
-- spec: TIME-1

-- name: now
-- The clock as it stands, and not as it stood when the transaction began: it may have waited for others.
SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint;
