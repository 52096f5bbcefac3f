-- append: what a run has appended before, and how far it has come.
-- spec: STREAM-2, STREAM-3, STREAM-10, STREAM-12, STREAM-13

-- name: known
-- No item has a number below its seq, so that the search begins there.
SELECT
    json_group_array(json_array(seq, kind, step_key, length(data))),
    CAST(group_concat(CAST(data AS TEXT), '') AS BLOB)
FROM aiq_chunks
WHERE n = :n AND number >= :first AND fence = :fence AND seq BETWEEN :first AND :last;

-- name: count
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    chunks = json_extract(item, '$.last'), run_seq = json_extract(item, '$.seq'),
    stream_bytes = json_extract(item, '$.bytes'),
    progress_number = coalesce(json_extract(item, '$.progress'), progress_number)
FROM given
WHERE n = json_extract(item, '$.n');
