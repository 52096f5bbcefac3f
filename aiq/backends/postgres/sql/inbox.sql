-- inbox: jobs that were left in transactions of their callers.
-- spec: ENQ-9, ENQ-10

-- name: any
SELECT EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL);

-- name: oldest
SELECT number, content FROM aiq_inbox WHERE error IS NULL ORDER BY number LIMIT :limit;

-- name: put_aside
UPDATE aiq_inbox SET error = :error WHERE number = :number;

-- name: drop
DELETE FROM aiq_inbox WHERE number = :number;

-- name: count_aside
SELECT count(*) FROM aiq_inbox WHERE error IS NOT NULL;
