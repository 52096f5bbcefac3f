-- Events that can be read from where one left off, metrics by minute, and what is kept for how long.

-- How long a job is kept once it has ended, if it says so itself; when one whose time was over is looked at again; when
-- it came into its state.
ALTER TABLE aiq_jobs ADD COLUMN keep_ms INTEGER;
ALTER TABLE aiq_jobs ADD COLUMN put_off_ms INTEGER;
ALTER TABLE aiq_jobs ADD COLUMN since_ms INTEGER NOT NULL DEFAULT 0;
-- When upkeep looks whether a job is to go that has an instant of its own.
ALTER TABLE aiq_jobs ADD COLUMN go_ms INTEGER GENERATED ALWAYS AS (
    CASE WHEN finished_at_ms IS NOT NULL THEN coalesce(put_off_ms, finished_at_ms + keep_ms) END
) VIRTUAL;

UPDATE aiq_jobs SET since_ms = coalesce(started_at_ms, created_at_ms);

-- The jobs that have ended, in the order in which they go.
CREATE INDEX aiq_jobs_ended ON aiq_jobs (state, finished_at_ms, n)
    WHERE finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL;
CREATE INDEX aiq_jobs_apart ON aiq_jobs (go_ms, n, state) WHERE go_ms IS NOT NULL;
-- Those of which a stream is kept.
CREATE INDEX aiq_jobs_streams ON aiq_jobs (finished_at_ms, n) WHERE finished_at_ms IS NOT NULL AND stream_bytes > 0;

-- Those of which steps, and signals that nobody took, are kept; and the signals that were taken.
CREATE INDEX aiq_jobs_steps ON aiq_jobs (finished_at_ms, n, steps) WHERE finished_at_ms IS NOT NULL AND steps > 0;
CREATE INDEX aiq_jobs_signals ON aiq_jobs (finished_at_ms, n, kept_signals)
    WHERE finished_at_ms IS NOT NULL AND kept_signals > 0;
CREATE INDEX aiq_signals_over ON aiq_signals (over_ms, n) WHERE over_ms IS NOT NULL;

-- Who needs a job, whether its edge is flipped or not; and what is still to be done for one.
CREATE INDEX aiq_edges_upstream ON aiq_edges (upstream);
CREATE INDEX aiq_outbox_job ON aiq_outbox (n);

-- `events` are kept in the log, and those up to the number `trimmed` were removed.
ALTER TABLE aiq_counters ADD COLUMN events INTEGER NOT NULL DEFAULT 0;
ALTER TABLE aiq_counters ADD COLUMN trimmed INTEGER NOT NULL DEFAULT 0;
-- Made with the storage: a cursor says in whose log it counts.
ALTER TABLE aiq_counters ADD COLUMN storage_id TEXT NOT NULL DEFAULT '';
UPDATE aiq_counters SET events = (SELECT count(*) FROM aiq_events), storage_id = lower(hex(randomblob(8)));
ALTER TABLE aiq_events ADD COLUMN cause TEXT;

-- What is remembered of a job that is gone: its id, so that it is not stored again, and what its events tell.
CREATE TABLE aiq_tombstones (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    digest TEXT NOT NULL,
    state TEXT NOT NULL,
    task TEXT NOT NULL,
    queue TEXT NOT NULL,
    until_ms INTEGER NOT NULL
);

CREATE INDEX aiq_tombstones_until ON aiq_tombstones (until_ms, n);

-- Jobs that are gone and have left rows, or children.
CREATE TABLE aiq_remains (
    number INTEGER PRIMARY KEY,
    n INTEGER NOT NULL,
    job_id TEXT NOT NULL,
    parent_id TEXT,
    flow TEXT,
    due_ms INTEGER NOT NULL
);

CREATE INDEX aiq_remains_due ON aiq_remains (due_ms, number);
CREATE INDEX aiq_remains_job ON aiq_remains (job_id);
CREATE INDEX aiq_remains_parent ON aiq_remains (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX aiq_remains_flow ON aiq_remains (flow) WHERE flow IS NOT NULL;

CREATE TABLE aiq_retention (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    spec TEXT NOT NULL,
    -- The last of the jobs that have succeeded at whose results upkeep has looked.
    results_ms INTEGER NOT NULL DEFAULT -1,
    results_n INTEGER NOT NULL DEFAULT 0
);

CREATE TABLE aiq_minutes (
    minute_ms INTEGER NOT NULL,
    queue TEXT NOT NULL,
    task TEXT NOT NULL,
    enqueued INTEGER NOT NULL,
    started INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    succeeded INTEGER NOT NULL,
    failed INTEGER NOT NULL,
    retried INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    cancelled INTEGER NOT NULL,
    waited_ms INTEGER NOT NULL,
    waited_most_ms INTEGER NOT NULL,
    ran_ms INTEGER NOT NULL,
    ran_most_ms INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL,
    PRIMARY KEY (minute_ms, queue, task)
) WITHOUT ROWID;

CREATE INDEX aiq_usage_minutes ON aiq_usage (minute_ms) WHERE scope IN ('all', 'tenant');
