-- steps: remembered sub-results.
-- spec: STEP-1, STEP-3, STEP-5, STORE-13

-- name: find
SELECT step_key, kind, digest, fence, value FROM aiq_steps WHERE n = :n::bigint AND step_key = :key::text;

-- name: add
INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence)
SELECT n, key, kind, substring(:blobs::bytea FROM (value->>0)::int FOR (value->>1)::int), digest, fence
FROM json_to_recordset(:rows::json) AS given(
    n bigint, key text, kind text, value json, digest text, fence bigint
);

-- name: count
UPDATE aiq_live SET steps = :steps::bigint WHERE n = :n::bigint;

-- name: page
-- Values are read only of those that go into the page.
SELECT
    coalesce(json_agg(json_build_array(s.step_key, s.kind, s.digest, s.fence, octet_length(s.value))), '[]'::json),
    coalesce(string_agg(s.value, ''::bytea), ''::bytea)
FROM (
    SELECT step_key, sum(size) OVER (ORDER BY step_key) - size AS before
    FROM (
        SELECT step_key, octet_length(value) AS size
        FROM aiq_steps
        WHERE n = :n::bigint AND step_key > :after::text
        ORDER BY step_key
        LIMIT :limit::bigint
    ) AS sizes
) AS page
JOIN aiq_steps AS s ON s.n = :n::bigint AND s.step_key = page.step_key
WHERE page.before < :bytes::bigint;

-- name: saved_by
-- Which run saved each of some steps.
SELECT coalesce(json_agg(json_build_array(s.step_key, s.fence)), '[]'::json)
FROM jsonb_array_elements_text(:keys::jsonb) AS asked(value)
JOIN aiq_steps AS s ON s.n = :n::bigint AND s.step_key = asked.value;
