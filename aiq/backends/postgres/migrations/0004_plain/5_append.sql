-- append: add items to the streams of jobs in the name of their runs.
-- spec: STREAM-1, STREAM-2, STREAM-3, STREAM-4, STREAM-10, STREAM-13, STREAM-14, LEASE-5

-- Add the next items of runs of different jobs. For each run comes whose it is, the number within it of its first item
-- here, what these weigh, the place among them of its newest progress, and whether any is data. An item names its run by
-- place, and so does a range of data that belong to one step or to none: whether it is the first of its run, and its first
-- and last place. For each run the number of its last item, what the stream weighs now, and whether the run is to stop or
-- is late; and the last change before those of this. NULL where a lease is lost, items are repeated or left out, a reset
-- is due or there is no room; then nothing was added.
CREATE FUNCTION aiq_append_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    job_ids TEXT[], runs BIGINT[], held_as TEXT[], first_seqs BIGINT[], weights BIGINT[], progress BIGINT[],
    have_data BOOLEAN[],
    item_runs BIGINT[], item_places BIGINT[], kinds TEXT[], bodies BYTEA[], steps TEXT[],
    range_runs BIGINT[], range_begins BOOLEAN[], range_firsts BIGINT[], range_lasts BIGINT[], range_steps TEXT[],
    most BIGINT,
    OUT lasts BIGINT[], OUT bytes BIGINT[], OUT cancelled BOOLEAN[], OUT late BOOLEAN[], OUT changes_before BIGINT
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
    count CONSTANT BIGINT := cardinality(item_runs);
    job RECORD;
BEGIN
    SELECT
        array_agg(j.n ORDER BY given.place) AS ns, array_agg(j.chunks ORDER BY given.place) AS chunks,
        array_agg(j.stream_bytes + given.weight ORDER BY given.place) AS bytes,
        array_agg(j.cancel_requested_at_ms IS NOT NULL ORDER BY given.place) AS cancelled,
        array_agg(now_ms >= j.expires_at_ms ORDER BY given.place) AS late,
        array_agg(CASE WHEN newest.fence = given.run THEN newest.first END ORDER BY given.place) AS range_firsts,
        array_agg(newest.step_key ORDER BY given.place) AS range_steps
    INTO job
    FROM unnest(job_ids, runs, held_as, first_seqs, weights, have_data)
        WITH ORDINALITY AS given(id, run, held_as, first_seq, weight, has_data, place)
    CROSS JOIN LATERAL (SELECT * FROM aiq_live WHERE id = given.id OFFSET 0) AS j
    LEFT JOIN LATERAL (
        SELECT r.first, r.fence, r.step_key FROM aiq_ranges AS r WHERE r.n = j.n ORDER BY r.first DESC LIMIT 1
    ) AS newest ON true
    WHERE j.state = 'running' AND j.fence = given.run AND j.lease_id = given.held_as
        AND j.run_seq + 1 = given.first_seq AND j.stream_bytes + given.weight <= most
        AND (NOT given.has_data OR coalesce(newest.fence, given.run) = given.run);
    IF now_ms IS NULL OR cardinality(job.ns) IS DISTINCT FROM cardinality(job_ids) THEN
        RETURN;
    END IF;
    UPDATE aiq_counters AS c SET changes = c.changes + count RETURNING c.changes - count INTO changes_before;
    INSERT INTO aiq_chunks (change, n, number, kind, data, fence, seq, step_key, at_ms)
    SELECT
        changes_before + item.change, job.ns[item.run], job.chunks[item.run] + item.place, item.kind, item.body,
        runs[item.run], first_seqs[item.run] + item.place - 1, item.step, now_ms
    FROM unnest(item_runs, item_places, kinds, bodies, steps)
        WITH ORDINALITY AS item(run, place, kind, body, step, change);
    INSERT INTO aiq_ranges AS r (n, first, last, fence, step_key, void)
    SELECT
        job.ns[given.run],
        CASE WHEN given.begins AND job.range_firsts[given.run] IS NOT NULL
                AND job.range_steps[given.run] IS NOT DISTINCT FROM given.step
            THEN job.range_firsts[given.run] ELSE job.chunks[given.run] + given.first END,
        job.chunks[given.run] + given.last, runs[given.run], given.step, 0
    FROM unnest(range_runs, range_begins, range_firsts, range_lasts, range_steps)
        AS given(run, begins, first, last, step)
    ON CONFLICT (n, first) DO UPDATE SET last = excluded.last;
    SELECT array_agg(job.chunks[given.run] + given.items ORDER BY given.run) INTO lasts
    FROM (SELECT item.run, count(*) AS items FROM unnest(item_runs) AS item(run) GROUP BY item.run) AS given;
    UPDATE aiq_live AS j SET
        chunks = given.last, run_seq = given.first_seq + given.last - given.before - 1, stream_bytes = given.bytes,
        progress_number = coalesce(given.before + given.progress, j.progress_number)
    FROM unnest(job.ns, job.chunks, lasts, first_seqs, job.bytes, progress)
        AS given(n, before, last, first_seq, bytes, progress)
    WHERE j.n = given.n;
    bytes := job.bytes;
    cancelled := job.cancelled;
    late := job.late;
END
$$;
