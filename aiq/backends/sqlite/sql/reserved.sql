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
-- Each row has what calls that are alike have in common, and the jobs that made them.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows)),
taken_apart AS MATERIALIZED (
    SELECT
        json_extract(item, '$[0]') AS fence, json_extract(item, '$[1]') AS call,
        json_extract(item, '$[2]') AS opened_at_ms, json_extract(item, '$[3]') AS closed_at_ms,
        CAST(substr(:blobs, json_extract(item, '$[4]'), json_extract(item, '$[5]')) AS TEXT) AS body,
        json_extract(item, '$[6]') AS jobs
    FROM given
)
INSERT INTO aiq_reservations (job_id, fence, call, opened_at_ms, closed_at_ms, body)
SELECT job.value, fence, call, opened_at_ms, closed_at_ms, body
FROM taken_apart
CROSS JOIN json_each(jobs) AS job
WHERE true
ON CONFLICT (job_id, fence, call) DO UPDATE SET closed_at_ms = excluded.closed_at_ms, body = excluded.body;
