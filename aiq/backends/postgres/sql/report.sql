-- report: note that a provider has answered a call.
-- spec: DEFER-2

-- name: answered
UPDATE aiq_jobs SET deferred_at_ms = NULL
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));
