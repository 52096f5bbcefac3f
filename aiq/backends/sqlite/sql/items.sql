-- items: what a stream holds, and the ranges of numbers by which a reset knows what is void.
-- spec: STREAM-1, STREAM-4, STREAM-7, STREAM-8

-- name: add
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
SELECT
    json_extract(item, '$.change'), json_extract(item, '$.n'), json_extract(item, '$.number'),
    json_extract(item, '$.kind'),
    substr(:blobs, json_extract(item, '$.data[0]'), json_extract(item, '$.data[1]')),
    json_extract(item, '$.fence'), json_extract(item, '$.seq'), json_extract(item, '$.step'), :now_ms
FROM given;

-- name: newest_ranges
SELECT json_group_array(json_array(r.n, r.first, r.last, r.fence, r.step_key))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_ranges AS r ON r.n = asked.value
    AND r.first = (SELECT max(first) FROM aiq_ranges WHERE n = asked.value);

-- name: ranges
-- What a reset may have to name: data of earlier runs that none has named yet.
SELECT json_group_array(json_array(first, last, fence, step_key)) FROM aiq_ranges
WHERE n = :n AND fence < :fence AND void = 0;

-- name: touch
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_ranges (n, first, last, fence, step_key, void)
SELECT
    json_extract(item, '$.n'), json_extract(item, '$.first'), json_extract(item, '$.last'),
    json_extract(item, '$.fence'), json_extract(item, '$.step'), json_extract(item, '$.void')
FROM given
WHERE true
ON CONFLICT (n, first) DO UPDATE SET last = excluded.last, void = excluded.void;

-- name: count
UPDATE aiq_jobs SET chunks = :last WHERE n = :n;
