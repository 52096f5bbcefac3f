-- acquire: note that a run has opened a call.
-- spec: CALL-12, CALL-16

-- name: opened
UPDATE aiq_live SET opened_calls = 1
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));
