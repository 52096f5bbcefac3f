-- acquire: note that a run has opened a call.
-- spec: CALL-12, CALL-16

-- name: opened
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET opened_calls = 1 WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);
