-- trim_jobs: what belongs to jobs that stay, and is to go before them, the oldest first.
-- spec: KEEP-10, KEEP-11, KEEP-12, KEEP-13, KEEP-14

-- name: results
-- The jobs that succeeded first, behind the last at which was looked: no index has to know which have a result.
SELECT coalesce(json_agg(json_build_array(finished_at_ms, n)), '[]'::json)
FROM (
    SELECT finished_at_ms, n FROM aiq_ended
    WHERE state = 'succeeded' AND keep_ms IS NULL AND put_off_ms IS NULL
        AND (finished_at_ms, n) > (:at_ms::bigint, :n::bigint) AND finished_at_ms < :now_ms::bigint
    ORDER BY finished_at_ms, n
    LIMIT :limit::bigint
) AS j;

-- name: count_results
SELECT count(*) FROM aiq_ended
WHERE state = 'succeeded' AND keep_ms IS NULL AND put_off_ms IS NULL
    AND (finished_at_ms, n) > (:at_ms::bigint, :n::bigint);

-- name: drop_results
-- Of those that nobody needs.
DELETE FROM aiq_results
WHERE n = ANY (ARRAY(
    SELECT j.n
    FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
    JOIN aiq_ended AS j ON j.n = asked.value::bigint
    WHERE NOT (j.dependents <> 0 AND EXISTS (
        SELECT 1
        FROM aiq_edges AS e
        JOIN aiq_jobs AS d ON d.n = e.dependent
        WHERE e.upstream = j.n AND d.state <> 'succeeded'
    ))
));

-- name: steps
-- What stands for the number of a step is its key.
SELECT coalesce(
    json_agg(json_build_array(finished_at_ms, n, step_key, json_build_array(n, step_key))), '[]'::json
)
FROM (
    SELECT j.finished_at_ms, j.n, s.step_key
    FROM aiq_ended AS j
    JOIN aiq_steps AS s ON s.n = j.n
    WHERE j.steps > 0
    ORDER BY j.finished_at_ms, j.n, s.step_key
    LIMIT :limit::bigint
) AS r;

-- name: count_steps
SELECT coalesce(sum(steps), 0)::bigint FROM aiq_ended WHERE steps > 0;

-- name: forget_steps
DELETE FROM aiq_steps AS s
USING jsonb_array_elements(:numbers::jsonb) AS given(item)
WHERE s.n = (item->>0)::bigint AND s.step_key = item->>1;

-- name: left_steps
UPDATE aiq_ended SET steps = (SELECT count(*) FROM aiq_steps AS s WHERE s.n = aiq_ended.n)
WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb)));

-- name: signals
-- Those that were taken, and those that nobody took of a job that has ended.
SELECT coalesce(json_agg(json_build_array(over_ms, n, number)), '[]'::json)
FROM (
    (
        SELECT over_ms, n, number FROM aiq_signals
        WHERE over_ms IS NOT NULL
        ORDER BY over_ms, n, number
        LIMIT :limit::bigint
    )
    UNION ALL
    (
        SELECT j.finished_at_ms AS over_ms, j.n, s.number
        FROM aiq_ended AS j
        JOIN aiq_signals AS s ON s.n = j.n AND s.kept = 1
        WHERE j.kept_signals > 0
        ORDER BY j.finished_at_ms, j.n, s.number
        LIMIT :limit::bigint
    )
) AS r;

-- name: count_signals
SELECT
    (SELECT count(*) FROM aiq_signals WHERE over_ms IS NOT NULL)
    + (SELECT coalesce(sum(kept_signals), 0)::bigint FROM aiq_ended WHERE kept_signals > 0);

-- name: forget_signals
DELETE FROM aiq_signals
WHERE number = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:numbers::jsonb)));

-- name: left_signals
UPDATE aiq_jobs SET kept_signals = (SELECT count(*) FROM aiq_signals AS s WHERE s.n = aiq_jobs.n AND s.kept = 1)
WHERE n = ANY (ARRAY(SELECT value::bigint FROM jsonb_array_elements_text(:ns::jsonb))) AND kept_signals > 0;
