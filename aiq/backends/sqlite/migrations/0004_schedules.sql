-- Schedules.
--
-- `spec` is one JSON text, which rules/ reads whole, and `size` the bytes of its template's payload. What a fire compares and
-- changes has columns. From `due_ms` on somebody has to plan or fire a schedule; `awaited` is the job for whose end it waits.
CREATE TABLE aiq_schedules (
    name TEXT PRIMARY KEY,
    spec TEXT NOT NULL,
    size INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    paused INTEGER NOT NULL,
    phase TEXT NOT NULL CHECK (phase = 'planned' OR phase = 'unplanned' OR phase = 'waiting' OR phase = 'over'),
    next_ms INTEGER,
    passed_ms INTEGER NOT NULL,
    fires INTEGER NOT NULL,
    skipped INTEGER NOT NULL,
    refused INTEGER NOT NULL,
    last_job_id TEXT,
    last_fired_ms INTEGER,
    error TEXT NOT NULL,
    due_ms INTEGER GENERATED ALWAYS AS (
        CASE WHEN paused THEN NULL WHEN phase = 'unplanned' THEN 0 WHEN phase = 'planned' THEN next_ms END
    ) VIRTUAL,
    awaited TEXT GENERATED ALWAYS AS (CASE WHEN phase = 'waiting' THEN last_job_id END) VIRTUAL
);

CREATE INDEX aiq_schedules_due ON aiq_schedules (due_ms, name) WHERE due_ms IS NOT NULL;
CREATE INDEX aiq_schedules_awaited ON aiq_schedules (awaited) WHERE awaited IS NOT NULL;
