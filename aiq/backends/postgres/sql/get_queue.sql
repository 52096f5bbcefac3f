-- get_queue: whether a queue is closed to claims.
-- spec: STORE-4

-- name: paused
SELECT 1 FROM aiq_queues WHERE name = :queue::text AND paused = 1;
