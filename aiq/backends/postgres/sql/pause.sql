-- pause: close a queue to claims, and open it again.
-- spec: STORE-4

-- name: set
INSERT INTO aiq_queues (name, paused) VALUES (:name::text, :paused::smallint)
ON CONFLICT (name) DO UPDATE SET paused = excluded.paused;
