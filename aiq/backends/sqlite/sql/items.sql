-- items: what a stream holds, and the ranges of numbers by which a reset knows what is void.
-- spec: STREAM-1, STREAM-4, STREAM-7, STREAM-8

-- name: add
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
SELECT
    json_extract(value, '$.change'), json_extract(value, '$.n'), json_extract(value, '$.number'),
    json_extract(value, '$.kind'),
    substr(:blobs, json_extract(value, '$.data[0]'), json_extract(value, '$.data[1]')),
    json_extract(value, '$.fence'), json_extract(value, '$.seq'), json_extract(value, '$.step'), :now_ms
FROM json_each(:rows);

-- name: ranges
SELECT json_group_array(json_array(first, last, fence, step_key, void)) FROM aiq_ranges WHERE n = :n;

-- name: touch
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void)
SELECT
    json_extract(value, '$.n'), json_extract(value, '$.first'), json_extract(value, '$.last'),
    json_extract(value, '$.fence'), json_extract(value, '$.step'), json_extract(value, '$.void')
FROM json_each(:rows)
WHERE true
ON CONFLICT (n, first) DO UPDATE SET last = excluded.last, void = excluded.void;

-- name: count
UPDATE aiq_jobs SET chunks = :last WHERE n = :n;
