-- items: what a stream holds, and the ranges of numbers by which a reset knows what is void.
-- spec: STREAM-1, STREAM-4, STREAM-7, STREAM-8

-- name: add
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
SELECT
    change, n, number, kind, substring(:blobs::bytea FROM (data->>0)::int FOR (data->>1)::int), fence, seq, step,
    :now_ms::bigint
FROM json_to_recordset(:rows::json) AS given(
    change bigint, n bigint, number bigint, kind text, data json, fence bigint, seq bigint, step text
);

-- name: newest_ranges
SELECT coalesce(json_agg(json_build_array(r.n, r.first, r.last, r.fence, r.step_key)), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
CROSS JOIN LATERAL (
    SELECT n, first, last, fence, step_key FROM aiq_ranges WHERE n = asked.value::bigint ORDER BY first DESC LIMIT 1
) AS r;

-- name: ranges
-- What a reset may have to name: data of earlier runs that none has named yet.
SELECT coalesce(json_agg(json_build_array(first, last, fence, step_key)), '[]'::json) FROM aiq_ranges
WHERE n = :n::bigint AND fence < :fence::bigint AND void = 0;

-- name: touch
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void)
SELECT n, first, last, fence, step, void::int
FROM json_to_recordset(:rows::json) AS given(
    n bigint, first bigint, last bigint, fence bigint, step text, void boolean
)
ON CONFLICT (n, first) DO UPDATE SET last = excluded.last, void = excluded.void;

-- name: count
UPDATE aiq_jobs SET chunks = :last::bigint WHERE n = :n::bigint;
