-- Ordered keys: who holds each, and who stands in its line. Jobs without a `per_key` have no row here.

-- `stand` is 0 or 1 for the returned and the fresh part of the line, 2 for who holds the key, 3 for neither. `turn` is the
-- order of enqueueing, `since_fence` the fence with which the job took its turn. What never changes stands beside it, so
-- that the hot table has no column for it.
CREATE TABLE aiq_keyed (
    n INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    order_key TEXT NOT NULL,
    stand INTEGER NOT NULL CHECK (stand BETWEEN 0 AND 3),
    turn INTEGER NOT NULL,
    since_fence INTEGER NOT NULL,
    per_key INTEGER NOT NULL,
    while_parked TEXT NOT NULL CHECK (while_parked IN ('hold', 'free'))
);

-- The line in its order, and behind it who holds the key.
CREATE INDEX aiq_keyed_line ON aiq_keyed (queue, order_key, stand, turn) WHERE stand < 3;

-- A ready job whose key keeps it out of its lane has 2 in aiq_jobs.aside.
CREATE TABLE aiq_keys (
    queue TEXT NOT NULL,
    order_key TEXT NOT NULL,
    per_key INTEGER NOT NULL,
    places INTEGER NOT NULL,
    holders INTEGER NOT NULL,
    line INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    PRIMARY KEY (queue, order_key)
) WITHOUT ROWID;

-- How many queues give the newest first: while there is none, no step looks at the settings of its queue for that.
ALTER TABLE aiq_counters ADD COLUMN lifo INTEGER NOT NULL DEFAULT 0;
