-- Unique keys and deadlines.

-- Which job of a task has a key. `last_id` is the last that asked for it and was heeded, so that its repeat is known;
-- `state` is how a job ended whose key is taken for a time.
CREATE TABLE aiq_unique (
    task TEXT NOT NULL,
    key TEXT NOT NULL,
    job_id TEXT NOT NULL,
    how TEXT NOT NULL CHECK (how = 'keep' OR how = 'replace' OR how = 'debounce'),
    last_id TEXT NOT NULL,
    last_digest TEXT NOT NULL,
    until_ms INTEGER,
    state TEXT,
    PRIMARY KEY (task, key)
) WITHOUT ROWID;

CREATE INDEX aiq_unique_over ON aiq_unique (until_ms, task, key) WHERE until_ms IS NOT NULL;

-- By when jobs must have ended that have neither ended nor were asked to.
CREATE INDEX aiq_jobs_deadlines ON aiq_jobs (deadline_ms, id)
    WHERE deadline_ms IS NOT NULL AND finished_at_ms IS NULL AND cancel_requested_at_ms IS NULL;

-- What becomes of a child when its parent is cancelled or dies.
ALTER TABLE aiq_specs ADD COLUMN on_parent TEXT NOT NULL DEFAULT 'cancel';
