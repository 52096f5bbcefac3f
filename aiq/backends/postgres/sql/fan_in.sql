-- fan_in: edges between jobs, the waits that count them, and the outbox of what did not fit into a step.
-- A plan may be made while its tables are empty, and used when they are large. So a question is fenced (LATERAL with a
-- LIMIT, OFFSET 0) or compared with an array of one, where a plain join could be planned as a look at all rows.
-- spec: FAN-1, FAN-2, FAN-3, FAN-7, FLOW-12, FLOW-13

-- name: open_edges
SELECT coalesce(json_agg(json_build_array(s.dependent_id, s.wait_key, s.dependent)), '[]'::json)
FROM (
    SELECT dependent_id, wait_key, dependent
    FROM aiq_edges
    WHERE upstream = :n AND ended = 0
    ORDER BY dependent_id, wait_key
    LIMIT :limit
) AS s;

-- name: edges_ahead
-- Those of many jobs; as many as the limit mean that there may be more.
SELECT coalesce(json_agg(json_build_array(s.upstream, s.dependent_id, s.wait_key, s.dependent)), '[]'::json)
FROM (
    SELECT e.upstream, e.dependent_id, e.wait_key, e.dependent
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    CROSS JOIN LATERAL (
        SELECT upstream, dependent_id, wait_key, dependent FROM aiq_edges
        WHERE upstream = asked.value::bigint AND ended = 0
        LIMIT :limit
    ) AS e
    LIMIT :limit
) AS s;

-- name: waits_ahead
-- Those of many jobs, under the keys that they wait under.
SELECT coalesce(json_agg(json_build_array(
    w.n, w.wait_key, w.total, w.succeeded, w.failed, w.need, w.rest, w.first_failed
)), '[]'::json)
FROM jsonb_array_elements(:places::jsonb) AS asked(item)
CROSS JOIN LATERAL (
    SELECT * FROM aiq_waits WHERE n = (asked.item->>0)::bigint AND wait_key = asked.item->>1 LIMIT 1
) AS w;

-- name: flip
-- By their places in the table: of a key of three columns a join may use one.
UPDATE aiq_edges AS e SET ended = flipped.ended, succeeded = flipped.succeeded::int
FROM (
    SELECT found.place, given.ended, given.succeeded
    FROM jsonb_to_recordset(:rows::jsonb) AS given(
        dependent bigint, key text, upstream bigint, ended bigint, succeeded boolean
    )
    CROSS JOIN LATERAL (
        SELECT ctid AS place FROM aiq_edges
        WHERE dependent = given.dependent AND wait_key = given.key AND upstream = given.upstream
        LIMIT 1
    ) AS found
) AS flipped
WHERE e.ctid = flipped.place;

-- name: put_wait
INSERT INTO aiq_waits (n, wait_key, total, succeeded, failed, need, rest, first_failed)
SELECT n, key, total, succeeded, failed, need, rest, first_failed
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, key text, total bigint, succeeded bigint, failed bigint, need bigint, rest text, first_failed text
)
ON CONFLICT (n, wait_key) DO UPDATE SET
    total = excluded.total, succeeded = excluded.succeeded, failed = excluded.failed, need = excluded.need,
    rest = excluded.rest, first_failed = excluded.first_failed;

-- name: winners
SELECT coalesce(json_agg(json_build_array(s.ended, s.id)), '[]'::json)
FROM (
    SELECT e.ended, j.id
    FROM (
        SELECT ended, upstream FROM aiq_edges WHERE dependent = :n AND wait_key = :key AND succeeded = 1 OFFSET 0
    ) AS e
    CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = e.upstream LIMIT 1) AS j
    ORDER BY e.ended
    LIMIT :limit
) AS s;

-- name: living_child
SELECT 1 FROM aiq_jobs
WHERE parent_id = :parent_id AND state NOT IN ('succeeded', 'dead', 'cancelled')
LIMIT 1;

-- name: send_out
-- Numbered in the order in which they were sent.
INSERT INTO aiq_outbox (kind, n, wait_key)
SELECT given.item->>'kind', (given.item->>'n')::bigint, given.item->>'key'
FROM jsonb_array_elements(:rows::jsonb) WITH ORDINALITY AS given(item, place)
ORDER BY given.place;
