-- inbox: jobs that were left in transactions of their callers.
-- spec: ENQ-9, ENQ-10, ENQ-12

-- name: any
SELECT EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL);

-- name: oldest
-- Those that were left first, as many as have no more than so many bytes together, and always the first.
SELECT number, content
FROM (
    SELECT number, content, row_number() OVER by_age AS place, sum(octet_length(content)) OVER by_age AS bytes
    FROM (SELECT number, content FROM aiq_inbox WHERE error IS NULL ORDER BY number LIMIT :limit::bigint) AS first
    WINDOW by_age AS (ORDER BY number)
) AS weighed
WHERE place = 1 OR bytes <= :bytes::bigint
ORDER BY number;

-- name: put_aside
UPDATE aiq_inbox SET error = :error WHERE number = :number;

-- name: drop
DELETE FROM aiq_inbox WHERE number IN (SELECT value::bigint FROM jsonb_array_elements_text(:numbers::jsonb));

-- name: counts
-- How many could not be stored, and how many nobody has looked at.
SELECT count(error), count(*) - count(error) FROM aiq_inbox;
