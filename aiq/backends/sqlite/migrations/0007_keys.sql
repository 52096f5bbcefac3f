-- Ordered keys: who holds each, and who stands in its line. Jobs without a `per_key` have no row here.

-- `stand` is 0 for who is in the line, 1 for who holds the key, 2 for neither. `turn` is the number of the job when it was
-- enqueued or began anew; `root` and `depth` say where it stands in its tree: without a parent its own turn, and 0. What
-- never changes stands beside it, so that the hot table has no column for it.
CREATE TABLE aiq_keyed (
    n INTEGER PRIMARY KEY,
    queue TEXT NOT NULL,
    order_key TEXT NOT NULL,
    stand INTEGER NOT NULL CHECK (stand BETWEEN 0 AND 2),
    root INTEGER NOT NULL,
    depth INTEGER NOT NULL,
    turn INTEGER NOT NULL,
    per_key INTEGER NOT NULL,
    while_parked TEXT NOT NULL CHECK (while_parked IN ('hold', 'free'))
);

-- The line in its order, and behind it who holds the key.
CREATE INDEX aiq_keyed_line ON aiq_keyed (queue, order_key, stand, root, depth DESC, turn) WHERE stand < 2;

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

-- Where a job that was stored as a child stands in its tree: the number of the job at the top, and how many are above it.
ALTER TABLE aiq_specs ADD COLUMN root INTEGER;
ALTER TABLE aiq_specs ADD COLUMN depth INTEGER;

-- How many queues give the newest first: while there is none, no step looks at the settings of its queue for that.
ALTER TABLE aiq_counters ADD COLUMN lifo INTEGER NOT NULL DEFAULT 0;
