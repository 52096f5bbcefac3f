-- cancel: ask runs to stop.
-- spec: CANCEL-2

-- name: request
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET cancel_requested_at_ms = :now_ms, events = events + 1
WHERE n IN (SELECT json_extract(item, '$.n') FROM given);
