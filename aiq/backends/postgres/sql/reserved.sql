-- reserved: calls by run and number, each a line of its place among those asked for, number, instants and body.
-- The body is a text that nothing here looks into. No line break is in it, so it is passed on without quotes.
-- spec: CALL-1, CALL-7, CALL-14

-- name: open
SELECT string_agg(
    concat(asked.key - 1, ' ', r.call, ' ', r.opened_at_ms, ' ', r.closed_at_ms, ' ', r.body), chr(10)
)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT call, opened_at_ms, closed_at_ms, body FROM aiq_reservations
    WHERE job_id = item->>0 AND fence = (item->>1)::bigint AND closed_at_ms IS NULL
    OFFSET 0
) AS r;

-- name: calls
SELECT string_agg(
    concat(asked.key - 1, ' ', r.call, ' ', r.opened_at_ms, ' ', r.closed_at_ms, ' ', r.body), chr(10)
)
FROM jsonb_array_elements(:keys::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT call, opened_at_ms, closed_at_ms, body FROM aiq_reservations
    WHERE job_id = item->>0 AND fence = (item->>1)::bigint AND call = (item->>2)::bigint
    LIMIT 1
) AS r;

-- name: put
-- Each row has what calls that are alike have in common, and the jobs that made them.
INSERT INTO aiq_reservations (job_id, fence, call, opened_at_ms, closed_at_ms, body)
SELECT
    job_id, (item->>0)::bigint, (item->>1)::bigint, (item->>2)::bigint, (item->>3)::bigint,
    convert_from(substring(:blobs::bytea FROM (item->>4)::int FOR (item->>5)::int), 'UTF8')
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
CROSS JOIN jsonb_array_elements_text(item->6) AS jobs(job_id)
ON CONFLICT (job_id, fence, call) DO UPDATE SET closed_at_ms = excluded.closed_at_ms, body = excluded.body;
