-- renew: move the end of leases that the caller owns.
-- spec: LEASE-3, LEASE-4, LEASE-8, LEASE-10, LEASE-12, TIME-5, STATE-5

-- Renew all leases, or none where one is lost, whose owner the step tells why; then all three are NULL. `given_ms` is
-- how long they are to last, NULL for as long as each job says. Told in the order of the leases.
CREATE FUNCTION aiq_renew_4(
    lock INTEGER, patience_ms BIGINT, synchronous TEXT, clock_ms BIGINT,
    ids TEXT[], fences BIGINT[], lease_ids TEXT[], given_ms BIGINT, shrink BOOLEAN,
    OUT lengths_ms BIGINT[], OUT cancelled BOOLEAN[], OUT paused BOOLEAN[]
)
LANGUAGE plpgsql VOLATILE
SET search_path FROM CURRENT SET jit = off
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
    now_ms BIGINT := aiq_begin_4(lock, patience_ms, synchronous, clock_ms);
BEGIN
    WITH live AS MATERIALIZED (
        SELECT
            given.place, j.n, j.cancel_requested_at_ms IS NOT NULL AS cancelled,
            EXISTS (SELECT 1 FROM aiq_queues WHERE name = j.queue AND paused = 1) AS paused,
            CASE WHEN shrink THEN coalesce(given_ms, j.lease_ms) ELSE greatest(given_ms, j.lease_ms) END AS length_ms
        FROM unnest(ids, fences, lease_ids) WITH ORDINALITY AS given(id, fence, lease_id, place)
        CROSS JOIN LATERAL (SELECT * FROM aiq_live WHERE id = given.id OFFSET 0) AS j
        WHERE j.state = 'running' AND j.fence = given.fence AND j.lease_id = given.lease_id AND j.expires_at_ms > now_ms
    ), renewed AS (
        UPDATE aiq_live AS j SET expires_at_ms = now_ms + live.length_ms
        FROM live
        WHERE j.n = live.n AND (SELECT count(*) FROM live) = cardinality(ids)
    )
    SELECT
        array_agg(live.length_ms ORDER BY place), array_agg(live.cancelled ORDER BY place),
        array_agg(live.paused ORDER BY place)
    INTO lengths_ms, cancelled, paused
    FROM live
    HAVING count(*) = cardinality(ids);
END
$$;
