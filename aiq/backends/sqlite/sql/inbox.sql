-- inbox: jobs that were left in transactions of their callers.
-- spec: ENQ-9, ENQ-10

-- name: oldest
SELECT min(number) FROM aiq_inbox WHERE error IS NULL;

-- name: content
SELECT content FROM aiq_inbox WHERE number = :number AND error IS NULL;

-- name: put_aside
UPDATE aiq_inbox SET error = :error WHERE number = :number;

-- name: drop
DELETE FROM aiq_inbox WHERE number = :number;

-- name: counts
-- How many could not be stored, and how many nobody has looked at.
SELECT count(error), count(*) - count(error) FROM aiq_inbox;
