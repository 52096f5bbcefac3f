-- opening: find out whether the file can hold jobs.
-- spec: STORE-12

-- name: try_to_write
-- Rolled back at once.
UPDATE aiq_counters SET changes = changes;
