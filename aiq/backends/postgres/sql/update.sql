-- update: change what a job brings that does not run.
-- spec: EDIT-1, EDIT-2, EDIT-3, EDIT-4, UNIQ-6, UNIQ-7

-- name: columns
UPDATE aiq_live AS j SET
    band = given.band, delay_ms = given.delay_ms, at_ms = given.at_ms, lease_ms = given.lease_ms,
    max_attempts = given.max_attempts, max_stalls = given.max_stalls, max_deferral_ms = given.max_deferral_ms,
    deadline_ms = given.deadline_ms, gated = given.gated::int
FROM jsonb_to_recordset(:rows::jsonb) AS given(
    n bigint, band smallint, delay_ms bigint, at_ms bigint, lease_ms bigint, max_attempts bigint, max_stalls bigint,
    max_deferral_ms bigint, deadline_ms bigint, gated boolean
)
WHERE j.n = given.n;

-- name: content
UPDATE aiq_specs AS s SET
    timeout_ms = given.timeout_ms,
    payload = substring(:blobs::bytea FROM (given.payload ->> 0)::int FOR (given.payload ->> 1)::int)
FROM jsonb_to_recordset(:rows::jsonb) AS given(n bigint, timeout_ms bigint, payload jsonb)
WHERE s.n = given.n;

-- name: terms
-- What a job brings to its admission that brought nothing, or something else.
INSERT INTO aiq_terms (n, terms) VALUES (:n, :terms)
ON CONFLICT (n) DO UPDATE SET terms = excluded.terms;

-- name: stay
UPDATE aiq_live AS j SET due_ms = (item ->> 1)::bigint, events = j.events + 1
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item ->> 0)::bigint;

-- name: shift
-- A ready job that stands in another line from now on.
UPDATE aiq_live AS j SET
    pool = item ->> 1, patience_end_ms = (item ->> 2)::bigint,
    aside = 0, aside_limit = NULL, aside_key = NULL
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item ->> 0)::bigint;

-- name: pool
-- The same, of one that its key keeps out of its lane.
UPDATE aiq_live AS j SET pool = item ->> 1, patience_end_ms = (item ->> 2)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
WHERE j.n = (item ->> 0)::bigint;

-- name: cold
-- What a decision does not look at otherwise.
SELECT j.due_ms, s.timeout_ms FROM aiq_live AS j JOIN aiq_specs AS s ON s.n = j.n WHERE j.n = :n;
