-- update: change what a job brings that does not run.
-- spec: EDIT-1, EDIT-2, EDIT-3, EDIT-4, UNIQ-6, UNIQ-7

-- name: columns
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    band = json_extract(item, '$.band'), delay_ms = json_extract(item, '$.delay_ms'),
    at_ms = json_extract(item, '$.at_ms'), lease_ms = json_extract(item, '$.lease_ms'),
    max_attempts = json_extract(item, '$.max_attempts'), max_stalls = json_extract(item, '$.max_stalls'),
    max_deferral_ms = json_extract(item, '$.max_deferral_ms'), deadline_ms = json_extract(item, '$.deadline_ms'),
    gated = json_extract(item, '$.gated')
FROM given
WHERE n = json_extract(item, '$.n');

-- name: content
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_specs SET
    timeout_ms = json_extract(item, '$.timeout_ms'),
    payload = substr(:blobs, json_extract(item, '$.payload[0]'), json_extract(item, '$.payload[1]'))
FROM given
WHERE n = json_extract(item, '$.n');

-- name: terms
-- What a job brings to its admission that brought nothing, or something else.
INSERT INTO aiq_terms (n, terms) VALUES (:n, :terms)
ON CONFLICT (n) DO UPDATE SET terms = excluded.terms;

-- name: stay
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET due_ms = json_extract(item, '$[1]'), events = events + 1
FROM given
WHERE n = json_extract(item, '$[0]');

-- name: shift
-- A ready job that stands in another line from now on.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET
    pool = json_extract(item, '$[1]'), patience_end_ms = json_extract(item, '$[2]'),
    aside = 0, aside_limit = NULL, aside_key = NULL
FROM given
WHERE n = json_extract(item, '$[0]');

-- name: pool
-- The same, of one that its key keeps out of its lane.
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
UPDATE aiq_jobs SET pool = json_extract(item, '$[1]'), patience_end_ms = json_extract(item, '$[2]')
FROM given
WHERE n = json_extract(item, '$[0]');

-- name: cold
-- What a decision does not look at otherwise.
SELECT j.due_ms, s.timeout_ms FROM aiq_jobs AS j JOIN aiq_specs AS s ON s.n = j.n WHERE j.n = :n;
