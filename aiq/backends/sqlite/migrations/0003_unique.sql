-- Unique keys and deadlines.

-- By when jobs must have ended that have neither ended nor were asked to.
CREATE INDEX aiq_jobs_deadlines ON aiq_jobs (deadline_ms, id)
    WHERE deadline_ms IS NOT NULL AND finished_at_ms IS NULL AND cancel_requested_at_ms IS NULL;
