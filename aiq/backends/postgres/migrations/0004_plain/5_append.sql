-- append: add items to a job's stream in the name of a run.
-- spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-13, LEASE-5

-- Add the next items of a run, of which all that are data belong to one step, or to none: the number of the last one,
-- what the stream weighs now, the last change before those of this, and whether the run is to stop or is late. NULL
-- where the lease is lost, items are repeated or left out, a reset is due or there is no room.
CREATE FUNCTION aiq_append_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    job_id TEXT, run BIGINT, held_as TEXT, first_seq BIGINT, kinds TEXT[], bodies BYTEA[], steps TEXT[], of_step TEXT,
    weight BIGINT, most BIGINT,
    OUT last_number BIGINT, OUT bytes BIGINT, OUT changes_before BIGINT, OUT cancelled BOOLEAN, OUT late BOOLEAN
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
    count CONSTANT BIGINT := cardinality(kinds);
    first_data CONSTANT BIGINT := array_position(kinds, 'data');
    job RECORD;
    newest RECORD;
BEGIN
    SELECT j.n, j.chunks, j.cancel_requested_at_ms, j.expires_at_ms, j.stream_bytes + weight AS bytes INTO job
    FROM aiq_live AS j
    WHERE j.id = job_id AND j.state = 'running' AND j.fence = run AND j.lease_id = held_as
        AND j.run_seq + 1 = first_seq AND j.stream_bytes + weight <= most;
    IF now_ms IS NULL OR NOT FOUND THEN
        RETURN;
    END IF;
    SELECT r.first, r.fence, r.step_key INTO newest
    FROM aiq_ranges AS r WHERE r.n = job.n ORDER BY r.first DESC LIMIT 1;
    IF first_data IS NOT NULL AND newest.fence <> run THEN
        RETURN;
    END IF;
    UPDATE aiq_counters AS c SET changes = c.changes + count RETURNING c.changes - count INTO changes_before;
    INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
    SELECT
        changes_before + item.place, job.n, job.chunks + item.place, item.kind, item.body, run,
        first_seq + item.place - 1, item.step, now_ms
    FROM unnest(kinds, bodies, steps) WITH ORDINALITY AS item(kind, body, step, place);
    IF first_data IS NOT NULL THEN
        INSERT INTO aiq_ranges AS r (n, first, last, fence, step_key, void)
        VALUES (
            job.n, CASE WHEN newest.step_key IS NOT DISTINCT FROM of_step AND newest.fence = run THEN newest.first
                ELSE job.chunks + first_data END,
            job.chunks + (SELECT max(place) FROM unnest(kinds) WITH ORDINALITY AS k(kind, place) WHERE k.kind = 'data'),
            run, of_step, 0
        )
        ON CONFLICT (n, first) DO UPDATE SET last = excluded.last;
    END IF;
    last_number := job.chunks + count;
    UPDATE aiq_live AS j SET
        chunks = last_number, run_seq = first_seq + count - 1, stream_bytes = job.bytes,
        progress_number = coalesce(
            (
                SELECT last_number - count + max(place)
                FROM unnest(kinds) WITH ORDINALITY AS k(kind, place) WHERE k.kind = 'progress'
            ),
            j.progress_number
        )
    WHERE j.n = job.n;
    bytes := job.bytes;
    cancelled := job.cancel_requested_at_ms IS NOT NULL;
    late := now_ms >= job.expires_at_ms;
END
$$;
