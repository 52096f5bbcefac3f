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
UPDATE aiq_live SET
    run_seq = :run_seq::bigint, stream_bytes = :stream_bytes::bigint,
    progress_number = coalesce(:progress_number::bigint, progress_number)
WHERE n = :n::bigint;
