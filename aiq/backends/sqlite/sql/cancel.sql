-- cancel: ask runs to stop.
-- spec: CANCEL-2

-- name: request
UPDATE aiq_jobs SET cancel_requested_at_ms = :now_ms, events = events + 1
WHERE n IN (SELECT json_extract(value, '$.n') FROM json_each(:rows));
