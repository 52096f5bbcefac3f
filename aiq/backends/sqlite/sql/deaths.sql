-- deaths: groups of dead jobs, and what became of those that have another generation.
-- spec: DEAD-1, DEAD-3, DEAD-4, DEAD-5, DEAD-6, DEAD-7, DEAD-8, DEAD-10, DEAD-22

-- name: graves
-- What is stored of some jobs: their death, their redrive, and what they have used in all.
SELECT json_group_array(json_array(
    j.n, d.fingerprint, d.died_at_ms, coalesce(d.tokens, 0), coalesce(d.usd_micros, 0), d.sample, r.redrive_id,
    r.fingerprint, coalesce(r.tokens, 0), coalesce(r.usd_micros, 0),
    (SELECT coalesce(sum(u.tokens), 0) FROM aiq_usage AS u WHERE u.scope = 'job' AND u.owner = j.id),
    (SELECT coalesce(sum(u.usd_micros), 0) FROM aiq_usage AS u WHERE u.scope = 'job' AND u.owner = j.id)
))
FROM json_each(:ns) AS asked
CROSS JOIN aiq_jobs AS j ON j.n = asked.value
LEFT JOIN aiq_deaths AS d ON d.n = j.n
LEFT JOIN aiq_redriven AS r ON r.n = j.n;

-- name: buried
-- Those of some jobs that are known here at all.
SELECT json_group_array(asked.value)
FROM json_each(:ns) AS asked
WHERE EXISTS (SELECT 1 FROM aiq_deaths AS d WHERE d.n = asked.value)
    OR EXISTS (SELECT 1 FROM aiq_redriven AS r WHERE r.n = asked.value);

-- name: groups
-- With the number of their samples.
SELECT json_group_array(json_array(
    g.fingerprint, g.task, g.cause, g.type, g.code, g.place, g.pattern, g.first_seen_ms, g.last_seen_ms, g.dead, g.died,
    g.attempts, g.tokens, g.usd_micros, g.redriven, g.recovered, g.relapsed, g.touched_at_ms,
    (SELECT count(*) FROM aiq_deaths AS d WHERE d.fingerprint = g.fingerprint AND d.sample IS NOT NULL)
))
FROM json_each(:fingerprints) AS asked
CROSS JOIN aiq_dead_groups AS g ON g.fingerprint = asked.value;

-- name: put_group
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT OR REPLACE INTO aiq_dead_groups (
    fingerprint, task, cause, type, code, place, pattern, first_seen_ms, last_seen_ms, dead, died, attempts, tokens,
    usd_micros, redriven, recovered, relapsed, touched_at_ms
)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]'), json_extract(item, '$[6]'), json_extract(item, '$[7]'),
    json_extract(item, '$[8]'), json_extract(item, '$[9]'), json_extract(item, '$[10]'), json_extract(item, '$[11]'),
    json_extract(item, '$[12]'), json_extract(item, '$[13]'), json_extract(item, '$[14]'), json_extract(item, '$[15]'),
    json_extract(item, '$[16]'), json_extract(item, '$[17]')
FROM given;

-- name: put_death
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT OR REPLACE INTO aiq_deaths (n, fingerprint, died_at_ms, tokens, usd_micros, sample)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]'), json_extract(item, '$[5]')
FROM given;

-- name: drop_death
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_deaths WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: put_redriven
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT OR REPLACE INTO aiq_redriven (n, redrive_id, fingerprint, tokens, usd_micros)
SELECT
    json_extract(item, '$[0]'), json_extract(item, '$[1]'), json_extract(item, '$[2]'), json_extract(item, '$[3]'),
    json_extract(item, '$[4]')
FROM given;

-- name: drop_redriven
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_redriven WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: page_by_last_seen
SELECT json_group_array(fingerprint)
FROM (
    SELECT fingerprint FROM aiq_dead_groups
    WHERE (:fingerprint IS NULL OR fingerprint = :fingerprint)
        AND (last_seen_ms < :figure OR (last_seen_ms = :figure AND fingerprint > :after))
    ORDER BY last_seen_ms DESC, fingerprint
    LIMIT :limit
);

-- name: page_by_dead
SELECT json_group_array(fingerprint)
FROM (
    SELECT fingerprint FROM aiq_dead_groups
    WHERE (:fingerprint IS NULL OR fingerprint = :fingerprint)
        AND (dead < :figure OR (dead = :figure AND fingerprint > :after))
    ORDER BY dead DESC, fingerprint
    LIMIT :limit
);

-- name: ages
-- Of each group the oldest death, and how many died within each age: each count is a stretch of one index.
SELECT json_group_array(json_array(
    asked.value,
    (SELECT min(died_at_ms) FROM aiq_deaths WHERE fingerprint = asked.value),
    json((
        SELECT json_group_array((
            SELECT count(*) FROM aiq_deaths AS d
            WHERE d.fingerprint = asked.value AND d.died_at_ms >= :now_ms - json_extract(age.value, '$[1]')
                AND d.died_at_ms < :now_ms - json_extract(age.value, '$[0]')
        ))
        FROM json_each(:ages) AS age
    ))
))
FROM json_each(:fingerprints) AS asked;

-- name: samples
SELECT json_group_array(json_array(d.fingerprint, d.died_at_ms, d.n, j.id, d.sample))
FROM json_each(:fingerprints) AS asked
CROSS JOIN aiq_deaths AS d ON d.fingerprint = asked.value AND d.sample IS NOT NULL
CROSS JOIN aiq_jobs AS j ON j.n = d.n;

-- name: forget_groups
DELETE FROM aiq_dead_groups WHERE fingerprint IN (
    SELECT fingerprint FROM aiq_dead_groups
    WHERE dead = 0 AND touched_at_ms <= :since_ms
    ORDER BY touched_at_ms, fingerprint
    LIMIT :limit
);

-- name: any_forgotten
SELECT EXISTS (SELECT 1 FROM aiq_dead_groups WHERE dead = 0 AND touched_at_ms <= :since_ms);
