-- Steps that the server makes whole, in one statement and so in one round trip: those of plain jobs, which most are.
--
-- Each answers NULL, having written nothing, where it finds anything that is not plain; then the step is decided in
-- Python, as all others are. Whatever it does write is what that step would have written, to the last column.
--
-- A function is never changed once it is released: two releases run on one schema. A new one takes the number of the
-- migration that brings it. What is a transaction by itself sets the search path; what is called within one has it
-- from there. They are VOLATILE: each statement within sees what was committed before it began, hence
-- after the lock was taken.

-- The instant of a step that may write, once it is alone; NULL where it has to be made in Python.
CREATE FUNCTION aiq_begin_4(lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT) RETURNS BIGINT
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    PERFORM set_config('lock_timeout', patience_ms::text, true);
    IF synchronous IS NOT NULL THEN
        PERFORM set_config('synchronous_commit', synchronous, true);
    END IF;
    IF NOT pg_try_advisory_xact_lock(6383985, lock) THEN
        PERFORM pg_advisory_xact_lock(6383985, lock);
        -- Where some wait, the lock goes before the disk has it, and the caller waits for that: see durable.py.
        IF current_setting('aiq.release', true) = 'allowed' AND current_setting('synchronous_commit') <> 'off'
            AND current_setting('synchronous_standby_names') = '' THEN
            PERFORM set_config('synchronous_commit', 'off', true), set_config('aiq.release', 'done', true);
        END IF;
    END IF;
    -- Others wait for this step now, and must not lose patience while it waits for the row of somebody else's.
    PERFORM set_config('lock_timeout', least(1000, patience_ms / 4)::text, true);
    IF aiq_is_shut_4() THEN
        RETURN NULL;
    END IF;
    -- The clock is read under the lock: whoever waited for it must not write an instant that has passed.
    RETURN coalesce(clock_ms, floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint);
END
$$;

-- Whether a step has to find out in Python what stands against it: the storage has moved or is being loaded. Or the
-- snapshot of a step would be older than its lock.
CREATE FUNCTION aiq_is_shut_4() RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN current_setting('transaction_isolation') <> 'read committed'
        OR EXISTS (SELECT 1 FROM aiq_moving WHERE state IN ('moved', 'loading'));
END
$$;

-- Whether jobs were left in transactions of their callers, which who claims or enqueues stores first, in Python. What
-- goes on beside them does not ask.
CREATE FUNCTION aiq_any_left_4() RETURNS BOOLEAN
LANGUAGE plpgsql STABLE AS $$
BEGIN
    RETURN EXISTS (SELECT 1 FROM aiq_inbox WHERE error IS NULL);
END
$$;
