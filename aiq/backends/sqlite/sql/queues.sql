-- queues: what bounds a queue, its credits, and what its bound counts.
-- spec: QUEUE-1, QUEUE-2, BAND-3

-- name: queues
SELECT json_group_array(json_array(q.name, json_array(json(q.settings), json(q.credits), q.fresh)))
FROM json_each(:keys) AS asked
CROSS JOIN aiq_queues AS q ON q.name = asked.value;

-- name: put_queues
WITH given AS MATERIALIZED (SELECT value AS item FROM json_each(:rows))
INSERT INTO aiq_queues (name, paused, settings, credits, fresh)
SELECT
    json_extract(item, '$[0]'), 0, json_extract(item, '$[1][0]'), json_extract(item, '$[1][1]'),
    json_extract(item, '$[1][2]')
FROM given
WHERE true
ON CONFLICT (name) DO UPDATE SET
    settings = excluded.settings, credits = excluded.credits, fresh = excluded.fresh;
