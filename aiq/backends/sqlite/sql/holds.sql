-- holds: jobs that are held, in the order in which they were, and when they are looked at again.
-- spec: HOLD-1, HOLD-2, HOLD-4, HOLD-8

-- name: any
SELECT EXISTS (SELECT 1 FROM aiq_holds) OR EXISTS (SELECT 1 FROM aiq_letting_go);

-- name: add
INSERT INTO aiq_holds (number, n, line, held_by, reason, need)
VALUES ((SELECT coalesce(max(number), 0) + 1 FROM aiq_holds), :n, :line, :held_by, :reason, :need);

-- name: drop
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
DELETE FROM aiq_holds WHERE n IN (SELECT json_extract(item, '$[0]') FROM given);

-- name: line
-- The first of a line. Those that wait for an approval are passed over unless somebody has granted more, and those
-- that need more than their budget ever gives.
SELECT json_group_array(json_array(number, id, json(need)))
FROM (
    SELECT h.number, j.id, h.need
    FROM aiq_holds AS h
    CROSS JOIN aiq_jobs AS j ON j.n = h.n
    WHERE h.line = :line AND h.held_by = :held_by AND (:granted OR h.reason <> 'approval')
        AND NOT EXISTS (
            SELECT 1 FROM json_each(h.need) AS need JOIN json_each(:most) AS most ON most.key = need.key
            WHERE need.value > most.value
        )
    ORDER BY h.number
    LIMIT :limit
);

-- name: count
SELECT count(*) FROM aiq_holds WHERE line = :line AND held_by = :held_by;

-- name: need
SELECT need FROM aiq_holds WHERE n = :n;

-- name: renew
INSERT INTO aiq_renewals (budget, at_ms) VALUES (:budget, :at_ms)
ON CONFLICT (budget) DO UPDATE SET at_ms = excluded.at_ms;

-- name: renew_no_more
DELETE FROM aiq_renewals WHERE budget = :budget;

-- name: renewed
SELECT json_group_array(budget)
FROM (SELECT budget FROM aiq_renewals WHERE at_ms <= :now_ms ORDER BY at_ms, budget LIMIT :limit);

-- name: going_on
SELECT json_group_array(json_array(line, held_by, json(room))) FROM aiq_letting_go;

-- name: go_on
INSERT INTO aiq_letting_go (line, held_by, room) VALUES (:line, :held_by, :room)
ON CONFLICT (line, held_by) DO UPDATE SET room = excluded.room;

-- name: go_on_no_more
DELETE FROM aiq_letting_go WHERE line = :line AND held_by = :held_by;
