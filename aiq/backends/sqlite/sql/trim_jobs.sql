-- trim_jobs: what belongs to jobs that stay, and is to go before them, the oldest first.
-- spec: KEEP-10, KEEP-11, KEEP-12, KEEP-13, KEEP-14

-- name: results
-- The jobs that succeeded first, behind the last at which was looked: no index has to know which have a result.
SELECT json_group_array(json_array(finished_at_ms, n))
FROM (
    SELECT finished_at_ms, n FROM aiq_jobs
    WHERE state = 'succeeded' AND finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL
        AND (finished_at_ms, n) > (:at_ms, :n) AND finished_at_ms < :now_ms
    ORDER BY finished_at_ms, n
    LIMIT :limit
);

-- name: count_results
SELECT count(*) FROM aiq_jobs
WHERE state = 'succeeded' AND finished_at_ms IS NOT NULL AND keep_ms IS NULL AND put_off_ms IS NULL
    AND (finished_at_ms, n) > (:at_ms, :n);

-- name: drop_results
-- Of those that nobody needs.
DELETE FROM aiq_results
WHERE n IN (
    SELECT j.n
    FROM json_each(:ns) AS asked
    CROSS JOIN aiq_jobs AS j ON j.n = asked.value
    WHERE NOT (j.dependents <> 0 AND EXISTS (
        SELECT 1
        FROM aiq_edges AS e INDEXED BY aiq_edges_upstream
        CROSS JOIN aiq_jobs AS d ON d.n = e.dependent
        WHERE e.upstream = j.n AND d.state <> 'succeeded'
    ))
);

-- name: steps
SELECT json_group_array(json_array(finished_at_ms, n, step_key, number))
FROM (
    SELECT j.finished_at_ms, j.n, s.step_key, s.rowid AS number
    FROM aiq_jobs AS j INDEXED BY aiq_jobs_steps
    CROSS JOIN aiq_steps AS s ON s.n = j.n
    WHERE j.finished_at_ms IS NOT NULL AND j.steps > 0
    ORDER BY j.finished_at_ms, j.n, s.step_key
    LIMIT :limit
);

-- name: count_steps
SELECT coalesce(sum(steps), 0) FROM aiq_jobs INDEXED BY aiq_jobs_steps WHERE finished_at_ms IS NOT NULL AND steps > 0;

-- name: forget_steps
DELETE FROM aiq_steps WHERE rowid IN (SELECT value FROM json_each(:numbers));

-- name: left_steps
UPDATE aiq_jobs SET steps = (SELECT count(*) FROM aiq_steps AS s WHERE s.n = aiq_jobs.n)
WHERE n IN (SELECT value FROM json_each(:ns));

-- name: signals
-- Those that were taken, and those that nobody took of a job that has ended.
SELECT json_group_array(json_array(over_ms, n, number))
FROM (
    SELECT over_ms, n, number
    FROM (
        SELECT over_ms, n, number FROM aiq_signals INDEXED BY aiq_signals_over
        WHERE over_ms IS NOT NULL
        ORDER BY over_ms, n, number
        LIMIT :limit
    )
    UNION ALL
    SELECT over_ms, n, number
    FROM (
        SELECT j.finished_at_ms AS over_ms, j.n, s.number
        FROM aiq_jobs AS j INDEXED BY aiq_jobs_signals
        CROSS JOIN aiq_signals AS s INDEXED BY aiq_signals_kept ON s.n = j.n AND s.kept = 1
        WHERE j.finished_at_ms IS NOT NULL AND j.kept_signals > 0
        ORDER BY j.finished_at_ms, j.n, s.number
        LIMIT :limit
    )
);

-- name: count_signals
SELECT
    (SELECT count(*) FROM aiq_signals INDEXED BY aiq_signals_over WHERE over_ms IS NOT NULL)
    + (
        SELECT coalesce(sum(kept_signals), 0) FROM aiq_jobs INDEXED BY aiq_jobs_signals
        WHERE finished_at_ms IS NOT NULL AND kept_signals > 0
    );

-- name: forget_signals
DELETE FROM aiq_signals WHERE number IN (SELECT value FROM json_each(:numbers));

-- name: left_signals
UPDATE aiq_jobs SET kept_signals = (SELECT count(*) FROM aiq_signals AS s WHERE s.n = aiq_jobs.n AND s.kept = 1)
WHERE n IN (SELECT value FROM json_each(:ns)) AND kept_signals > 0;
