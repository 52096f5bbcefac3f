-- append: what a run has appended before, and how far it has come.
-- spec: STREAM-2, STREAM-3, STREAM-10, STREAM-12, STREAM-13

-- name: known
-- No item has a number below its seq, so that the search begins there.
SELECT
    coalesce(json_agg(json_build_array(seq, kind, step_key, octet_length(data))), '[]'::json),
    coalesce(string_agg(data, ''::bytea), ''::bytea)
FROM aiq_chunks
WHERE n = :n::bigint AND number >= :first::bigint AND fence = :fence::bigint
    AND seq BETWEEN :first::bigint AND :last::bigint;

-- name: count
UPDATE aiq_live AS j SET
    chunks = given.last, run_seq = given.seq, stream_bytes = given.bytes,
    progress_number = coalesce(given.progress, j.progress_number)
FROM json_to_recordset(:rows::json) AS given(n bigint, last bigint, seq bigint, bytes bigint, progress bigint)
WHERE j.n = given.n;
