-- Workers, and what moves from one storage to another.

-- What each worker last said of itself, and when: `body` is its beat, as JSON.
CREATE TABLE aiq_workers (
    name TEXT PRIMARY KEY,
    started_at_ms INTEGER NOT NULL,
    beat_at_ms INTEGER NOT NULL,
    body TEXT NOT NULL
) WITHOUT ROWID;

CREATE INDEX aiq_workers_beats ON aiq_workers (beat_at_ms, name);
