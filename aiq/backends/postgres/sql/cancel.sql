-- cancel: ask runs to stop.
-- spec: CANCEL-2

-- name: request
UPDATE aiq_live AS j SET cancel_requested_at_ms = :now_ms::bigint, events = j.events + 1
FROM json_to_recordset(:rows::json) AS given(n bigint)
WHERE j.n = given.n;
