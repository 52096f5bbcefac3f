-- queues: what bounds a queue, its credits, and what its bound counts.
-- spec: QUEUE-1, QUEUE-2, BAND-3

-- name: queues
SELECT coalesce(
    json_agg(json_build_array(q.name, json_build_array(q.settings::json, q.credits::json, q.fresh))), '[]'::json
)
FROM jsonb_array_elements_text(:keys::jsonb) AS asked(value)
JOIN aiq_queues AS q ON q.name = asked.value;

-- name: put_queues
-- A step may put a queue twice; the last stands.
INSERT INTO aiq_queues (name, paused, settings, credits, fresh)
SELECT DISTINCT ON (item->>0) item->>0, 0, item->1->>0, item->1->>1, (item->1->>2)::bigint
FROM jsonb_array_elements(:rows::jsonb) WITH ORDINALITY AS given(item, place)
ORDER BY item->>0, place DESC
ON CONFLICT (name) DO UPDATE SET
    settings = excluded.settings, credits = excluded.credits, fresh = excluded.fresh;
