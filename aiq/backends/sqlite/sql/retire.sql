-- retire: whether the storage may be written.
-- spec: MOVE-2, MOVE-3, MOVE-4, MOVE-5

-- name: read
-- With a word where jobs were left in transactions of their callers: every write asks for both.
SELECT state, told FROM aiq_moving
UNION ALL
SELECT 'left', '' WHERE EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL);

-- name: put
INSERT INTO aiq_moving (state, told) VALUES (:state, :told) ON CONFLICT (state) DO UPDATE SET told = excluded.told;

-- name: drop
DELETE FROM aiq_moving WHERE state = :state;
