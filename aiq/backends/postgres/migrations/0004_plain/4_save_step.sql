-- save_step: remember a value in the name of a run.
-- spec: STEP-1, STEP-2, STEP-3, STEP-4, STEP-7, LEASE-5

-- Keep a value under a key that is free: whether the run is to stop, and whether it is late. NULL where the lease is
-- lost, the key is taken or the job has as many steps as it may, of which the step tells.
CREATE FUNCTION aiq_save_step_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    job_id TEXT, run BIGINT, held_as TEXT, most BIGINT, key TEXT, kind TEXT, value BYTEA, digest TEXT,
    OUT cancelled BOOLEAN, OUT late BOOLEAN
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
    job RECORD;
BEGIN
    SELECT j.n, j.steps, j.cancel_requested_at_ms, j.expires_at_ms INTO job
    FROM aiq_live AS j
    WHERE j.id = job_id AND j.state = 'running' AND j.fence = run AND j.lease_id = held_as AND j.steps < most;
    IF now_ms IS NULL OR NOT FOUND OR EXISTS (
        SELECT 1 FROM aiq_steps AS s WHERE s.n = job.n AND s.step_key = key
    ) THEN
        RETURN;
    END IF;
    INSERT INTO aiq_steps (n, step_key, kind, value, digest, fence) VALUES (job.n, key, kind, value, digest, run);
    UPDATE aiq_live SET steps = job.steps + 1 WHERE n = job.n;
    cancelled := job.cancel_requested_at_ms IS NOT NULL;
    late := now_ms >= job.expires_at_ms;
END
$$;
