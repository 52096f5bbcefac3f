-- report: note that a provider has answered a call.
-- spec: DEFER-2

-- name: answered
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET deferred_at_ms = NULL WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);
