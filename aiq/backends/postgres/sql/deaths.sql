-- deaths: groups of dead jobs, and what became of those that have another generation.
-- Why its questions are fenced, and keys compared with arrays of one, is told in fan_in.sql.
-- spec: DEAD-1, DEAD-3, DEAD-4, DEAD-5, DEAD-6, DEAD-7, DEAD-8, DEAD-10, DEAD-22

-- name: graves
-- What is stored of some jobs: their death, their redrive, and what they have used in all.
SELECT coalesce(json_agg(json_build_array(
    j.n, d.fingerprint, d.died_at_ms, coalesce(d.tokens, 0), coalesce(d.usd_micros, 0), d.sample, r.redrive_id,
    r.fingerprint, coalesce(r.tokens, 0), coalesce(r.usd_micros, 0), used.tokens, used.usd_micros
)), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
CROSS JOIN LATERAL (SELECT n, id FROM aiq_jobs WHERE n = asked.value::bigint LIMIT 1) AS j
LEFT JOIN LATERAL (SELECT * FROM aiq_deaths WHERE n = j.n LIMIT 1) AS d ON true
LEFT JOIN LATERAL (SELECT * FROM aiq_redriven WHERE n = j.n LIMIT 1) AS r ON true
CROSS JOIN LATERAL (
    SELECT coalesce(sum(u.tokens), 0)::bigint AS tokens, coalesce(sum(u.usd_micros), 0)::bigint AS usd_micros
    FROM aiq_usage AS u
    WHERE u.scope = 'job' AND u.owner = j.id
) AS used;

-- name: buried
-- Those of some jobs that are known here at all.
SELECT coalesce(json_agg(asked.value::bigint), '[]'::json)
FROM jsonb_array_elements_text(:ns::jsonb) AS asked(value)
LEFT JOIN LATERAL (SELECT n FROM aiq_deaths WHERE n = asked.value::bigint LIMIT 1) AS d ON true
LEFT JOIN LATERAL (SELECT n FROM aiq_redriven WHERE n = asked.value::bigint LIMIT 1) AS r ON true
WHERE d.n IS NOT NULL OR r.n IS NOT NULL;

-- name: groups
-- With the number of their samples.
SELECT coalesce(json_agg(json_build_array(
    g.fingerprint, g.task, g.cause, g.type, g.code, g.place, g.pattern, g.first_seen_ms, g.last_seen_ms, g.dead, g.died,
    g.attempts, g.tokens, g.usd_micros, g.redriven, g.recovered, g.relapsed, g.touched_at_ms,
    (SELECT count(*) FROM aiq_deaths AS d WHERE d.fingerprint = g.fingerprint AND d.sample IS NOT NULL)
)), '[]'::json)
FROM jsonb_array_elements_text(:fingerprints::jsonb) AS asked(value)
CROSS JOIN LATERAL (SELECT * FROM aiq_dead_groups WHERE fingerprint = asked.value LIMIT 1) AS g;

-- name: put_group
INSERT INTO aiq_dead_groups (
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
)
SELECT
    item->>0, item->>1, item->>2, item->>3, item->>4, item->>5, item->>6, (item->>7)::bigint, (item->>8)::bigint,
    (item->>9)::bigint, (item->>10)::bigint, (item->>11)::bigint, (item->>12)::bigint, (item->>13)::bigint,
    (item->>14)::bigint, (item->>15)::bigint, (item->>16)::bigint, (item->>17)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (fingerprint) DO UPDATE SET
    task = excluded.task, cause = excluded.cause, type = excluded.type, code = excluded.code, place = excluded.place,
    pattern = excluded.pattern, first_seen_ms = excluded.first_seen_ms, last_seen_ms = excluded.last_seen_ms,
    dead = excluded.dead, died = excluded.died, attempts = excluded.attempts, tokens = excluded.tokens,
    usd_micros = excluded.usd_micros, redriven = excluded.redriven, recovered = excluded.recovered,
    relapsed = excluded.relapsed, touched_at_ms = excluded.touched_at_ms;

-- name: put_death
INSERT INTO aiq_deaths (n, fingerprint, died_at_ms, tokens, usd_micros, sample)
SELECT
    (item->>0)::bigint, item->>1, (item->>2)::bigint, (item->>3)::bigint, (item->>4)::bigint, item->>5
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (n) DO UPDATE SET
    fingerprint = excluded.fingerprint, died_at_ms = excluded.died_at_ms, tokens = excluded.tokens,
    usd_micros = excluded.usd_micros, sample = excluded.sample;

-- name: drop_death
DELETE FROM aiq_deaths
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: put_redriven
INSERT INTO aiq_redriven (n, redrive_id, fingerprint, tokens, usd_micros)
SELECT (item->>0)::bigint, item->>1, item->>2, (item->>3)::bigint, (item->>4)::bigint
FROM jsonb_array_elements(:rows::jsonb) AS given(item)
ON CONFLICT (n) DO UPDATE SET
    redrive_id = excluded.redrive_id, fingerprint = excluded.fingerprint, tokens = excluded.tokens,
    usd_micros = excluded.usd_micros;

-- name: drop_redriven
DELETE FROM aiq_redriven
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: page_by_last_seen
-- The figure alone bounds the index; what comes behind it within one figure is sorted out on the way.
SELECT coalesce(json_agg(s.fingerprint), '[]'::json)
FROM (
    SELECT fingerprint FROM aiq_dead_groups
    WHERE (:fingerprint::text IS NULL OR fingerprint = :fingerprint::text)
        AND last_seen_ms <= :figure AND (last_seen_ms < :figure OR fingerprint > :after)
    ORDER BY last_seen_ms DESC, fingerprint
    LIMIT :limit
) AS s;

-- name: page_by_dead
SELECT coalesce(json_agg(s.fingerprint), '[]'::json)
FROM (
    SELECT fingerprint FROM aiq_dead_groups
    WHERE (:fingerprint::text IS NULL OR fingerprint = :fingerprint::text)
        AND dead <= :figure AND (dead < :figure OR fingerprint > :after)
    ORDER BY dead DESC, fingerprint
    LIMIT :limit
) AS s;

-- name: ages
-- Of each group the oldest death, and how many died within each age: each count is a stretch of one index.
SELECT coalesce(json_agg(json_build_array(
    asked.value,
    (SELECT min(d.died_at_ms) FROM aiq_deaths AS d WHERE d.fingerprint = asked.value),
    (
        SELECT json_agg((
            SELECT count(*) FROM aiq_deaths AS d
            WHERE d.fingerprint = asked.value AND d.died_at_ms >= :now_ms::bigint - (age.item->>1)::bigint
                AND d.died_at_ms < :now_ms::bigint - (age.item->>0)::bigint
        ) ORDER BY age.place)
        FROM jsonb_array_elements(:ages::jsonb) WITH ORDINALITY AS age(item, place)
    )
)), '[]'::json)
FROM jsonb_array_elements_text(:fingerprints::jsonb) AS asked(value);

-- name: samples
SELECT coalesce(json_agg(json_build_array(d.fingerprint, d.died_at_ms, d.n, j.id, d.sample)), '[]'::json)
FROM jsonb_array_elements_text(:fingerprints::jsonb) AS asked(value)
CROSS JOIN LATERAL (
    SELECT fingerprint, died_at_ms, n, sample FROM aiq_deaths
    WHERE fingerprint = asked.value AND sample IS NOT NULL
    OFFSET 0
) AS d
CROSS JOIN LATERAL (SELECT id FROM aiq_jobs WHERE n = d.n LIMIT 1) AS j;

-- name: forget_groups
-- An array, since a plan for any limit takes the whole table for as good as a few rows of it.
DELETE FROM aiq_dead_groups WHERE fingerprint = ANY (ARRAY(
    SELECT fingerprint FROM aiq_dead_groups
    WHERE dead = 0 AND touched_at_ms <= :since_ms
    ORDER BY touched_at_ms, fingerprint
    LIMIT :limit
));

-- name: any_forgotten
-- Whether the oldest is: to look for any that is may seem as quick without the index.
SELECT coalesce((
    SELECT touched_at_ms FROM aiq_dead_groups WHERE dead = 0 ORDER BY touched_at_ms, fingerprint LIMIT 1
) <= :since_ms, false);
