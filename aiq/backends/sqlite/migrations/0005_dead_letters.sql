-- Dead letters: what jobs died of, in groups, and what became of those that were given another generation.

ALTER TABLE aiq_errors ADD COLUMN fingerprint TEXT NOT NULL DEFAULT '';
ALTER TABLE aiq_errors ADD COLUMN code TEXT NOT NULL DEFAULT '';
ALTER TABLE aiq_errors ADD COLUMN place TEXT NOT NULL DEFAULT '';
ALTER TABLE aiq_errors ADD COLUMN pattern TEXT NOT NULL DEFAULT '';

-- The job of which this one is a replay.
ALTER TABLE aiq_specs ADD COLUMN origin TEXT;

-- The groups. `dead` are there now, `died` all that ever died so.
CREATE TABLE aiq_dead_groups (
    fingerprint TEXT PRIMARY KEY,
    task TEXT NOT NULL,
    cause TEXT NOT NULL,
    type TEXT NOT NULL,
    code TEXT NOT NULL,
    place TEXT NOT NULL,
    pattern TEXT NOT NULL,
    first_seen_ms INTEGER NOT NULL,
    last_seen_ms INTEGER NOT NULL,
    dead INTEGER NOT NULL,
    died INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL,
    redriven INTEGER NOT NULL,
    recovered INTEGER NOT NULL,
    relapsed INTEGER NOT NULL,
    touched_at_ms INTEGER NOT NULL
) WITHOUT ROWID;

CREATE INDEX aiq_dead_groups_seen ON aiq_dead_groups (last_seen_ms, fingerprint);
CREATE INDEX aiq_dead_groups_dead ON aiq_dead_groups (dead, fingerprint);
CREATE INDEX aiq_dead_groups_empty ON aiq_dead_groups (touched_at_ms, fingerprint) WHERE dead = 0;

-- One row for each job that is dead. `tokens` and `usd_micros` are what its group counts of it.
CREATE TABLE aiq_deaths (
    n INTEGER PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    died_at_ms INTEGER NOT NULL,
    tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL,
    sample TEXT
);

CREATE INDEX aiq_deaths_age ON aiq_deaths (fingerprint, died_at_ms);
CREATE INDEX aiq_deaths_number ON aiq_deaths (fingerprint, n);
CREATE INDEX aiq_deaths_samples ON aiq_deaths (fingerprint, n) WHERE sample IS NOT NULL;

-- One row for each job that has had another generation: by which redrive, of which group it is until it has ended, and
-- what groups count already of what it has used.
CREATE TABLE aiq_redriven (
    n INTEGER PRIMARY KEY,
    redrive_id TEXT NOT NULL,
    fingerprint TEXT,
    tokens INTEGER NOT NULL,
    usd_micros INTEGER NOT NULL
);

-- What is to be done for children may now be to redrive them.
CREATE TABLE aiq_outbox_new (
    number INTEGER PRIMARY KEY,
    kind TEXT NOT NULL CHECK (
        kind = 'flip' OR kind = 'die' OR kind = 'cancel_rest' OR kind = 'cancel_children' OR kind = 'redrive'
    ),
    n INTEGER NOT NULL,
    wait_key TEXT NOT NULL
);
INSERT INTO aiq_outbox_new (number, kind, n, wait_key) SELECT number, kind, n, wait_key FROM aiq_outbox;
DROP TABLE aiq_outbox;
ALTER TABLE aiq_outbox_new RENAME TO aiq_outbox;

-- The dead of the release before, by their cause.
CREATE TEMP TABLE aiq_causes (cause TEXT PRIMARY KEY, fingerprint TEXT NOT NULL);
INSERT INTO aiq_causes (cause, fingerprint) VALUES
    ('handler', '00000000000000000000000000000001'), ('timeout', '00000000000000000000000000000002'),
    ('stalled', '00000000000000000000000000000003'), ('upstream', '00000000000000000000000000000004'),
    ('child', '00000000000000000000000000000005'), ('unroutable', '00000000000000000000000000000006'),
    ('payload', '00000000000000000000000000000007'), ('result', '00000000000000000000000000000008'),
    ('rate_limited', '00000000000000000000000000000009'), ('budget', '0000000000000000000000000000000a');
INSERT INTO aiq_deaths (n, fingerprint, died_at_ms, tokens, usd_micros)
SELECT j.n, c.fingerprint, j.finished_at_ms, 0, 0
FROM aiq_jobs AS j
JOIN aiq_causes AS c ON c.cause = coalesce(j.cause, 'handler')
WHERE j.state = 'dead';
INSERT INTO aiq_dead_groups (
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
)
SELECT
    c.fingerprint, max(j.task), c.cause, '', '', '', '', min(d.died_at_ms), max(d.died_at_ms), count(*), count(*),
    sum(j.failures), 0, 0, 0, 0, 0, max(d.died_at_ms)
FROM aiq_deaths AS d
JOIN aiq_jobs AS j ON j.n = d.n
JOIN aiq_causes AS c ON c.fingerprint = d.fingerprint
GROUP BY c.fingerprint;
DROP TABLE aiq_causes;
