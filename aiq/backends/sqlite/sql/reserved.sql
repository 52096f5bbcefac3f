-- reserved: calls by run and number, each a line of its place among those asked for, number, instants and body.
-- The body is a text that nothing here looks into. No line break is in it, so it is passed on without quotes.
-- spec: CALL-1, CALL-7, CALL-14

-- name: open
SELECT group_concat(
    asked.key || ' ' || r.call || ' ' || r.opened_at_ms || ' ' || coalesce(r.closed_at_ms, '') || ' ' || r.body, char(10)
)
FROM json_each(:keys) AS asked
CROSS JOIN aiq_reservations AS r
    ON r.job_id = json_extract(asked.value, '$[0]') AND r.fence = json_extract(asked.value, '$[1]')
        AND r.closed_at_ms IS NULL;

-- name: calls
SELECT group_concat(
    asked.key || ' ' || r.call || ' ' || r.opened_at_ms || ' ' || coalesce(r.closed_at_ms, '') || ' ' || r.body, char(10)
)
FROM json_each(:keys) AS asked
CROSS JOIN aiq_reservations AS r
    ON r.job_id = json_extract(asked.value, '$[0]') AND r.fence = json_extract(asked.value, '$[1]')
        AND r.call = json_extract(asked.value, '$[2]');

-- name: put
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_reservations (job_id, fence, call, opened_at_ms, closed_at_ms, body)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), CAST(substr(:blobs, json_extract(item, '$[5]'), json_extract(item, '$[6]')) AS TEXT)
FROM given
WHERE true
ON CONFLICT (job_id, fence, call) DO UPDATE SET closed_at_ms = excluded.closed_at_ms, body = excluded.body;
