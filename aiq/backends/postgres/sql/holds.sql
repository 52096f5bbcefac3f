-- holds: jobs that are held, in the order in which they were, and when they are looked at again.
-- spec: HOLD-1, HOLD-2, HOLD-4, HOLD-8

-- name: any
SELECT EXISTS (SELECT 1 FROM aiq_holds) OR EXISTS (SELECT 1 FROM aiq_letting_go);

-- name: add
INSERT INTO aiq_holds (number, n, line, held_by, reason, need)
VALUES ((SELECT coalesce(max(number), 0) + 1 FROM aiq_holds), :n, :line, :held_by, :reason, :need);

-- name: drop
DELETE FROM aiq_holds
WHERE n = ANY (ARRAY(SELECT (item->>0)::bigint FROM jsonb_array_elements(:rows::jsonb) AS given(item)));

-- name: line
-- The first of a line. Those that wait for an approval are passed over unless somebody has granted more, and those
-- that need more than their budget ever gives.
SELECT coalesce(json_agg(json_build_array(number, (SELECT id FROM aiq_jobs WHERE n = first.n), need::json)), '[]'::json)
FROM (
    SELECT h.number, h.n, h.need
    FROM aiq_holds AS h
    WHERE h.line = :line AND h.held_by = :held_by AND (:granted::int <> 0 OR h.reason <> 'approval')
        AND NOT EXISTS (
            SELECT 1
            FROM jsonb_each_text(h.need::jsonb) AS need
            JOIN jsonb_each_text(:most::jsonb) AS most ON most.key = need.key
            WHERE need.value::bigint > most.value::bigint
        )
    ORDER BY h.number
    LIMIT :limit
) AS first;

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
SELECT coalesce(json_agg(budget), '[]'::json)
FROM (SELECT budget FROM aiq_renewals WHERE at_ms <= :now_ms ORDER BY at_ms, budget LIMIT :limit) AS due;

-- name: going_on
SELECT coalesce(json_agg(json_build_array(line, held_by, room::json)), '[]'::json) FROM aiq_letting_go;

-- name: go_on
INSERT INTO aiq_letting_go (line, held_by, room) VALUES (:line, :held_by, :room)
ON CONFLICT (line, held_by) DO UPDATE SET room = excluded.room;

-- name: go_on_no_more
DELETE FROM aiq_letting_go WHERE line = :line AND held_by = :held_by;
