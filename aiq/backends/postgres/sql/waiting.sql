-- waiting: calls of running jobs that stand in line for their limits.
-- Why its questions are fenced is told in fan_in.sql.
-- spec: CALL-5, CALL-6

-- name: any
SELECT EXISTS (SELECT 1 FROM aiq_waiting);

-- name: line
-- Those that wait for one limit, and asked not too long ago.
SELECT coalesce(json_agg(body::json), '[]'::json)
FROM (
    SELECT w.body
    FROM aiq_waiting_for AS f
    CROSS JOIN LATERAL (SELECT body, asked_at_ms FROM aiq_waiting WHERE number = f.number LIMIT 1) AS w
    WHERE f.name = :name AND f.part = :part AND w.asked_at_ms >= :since_ms
    ORDER BY f.band, f.number
    LIMIT :limit
) AS line;

-- name: count
SELECT count(*)
FROM (SELECT number FROM aiq_waiting_for WHERE name = :name AND part = :part OFFSET 0) AS f
CROSS JOIN LATERAL (SELECT asked_at_ms FROM aiq_waiting WHERE number = f.number LIMIT 1) AS w
WHERE w.asked_at_ms >= :since_ms;

-- name: of_run
SELECT coalesce(json_agg(body::json), '[]'::json) FROM aiq_waiting WHERE job_id = :job_id AND fence = :fence;

-- name: last
SELECT coalesce(max(number), 0) FROM aiq_waiting;

-- name: put
INSERT INTO aiq_waiting (number, job_id, fence, call, asked_at_ms, body)
VALUES (:number, :job_id, :fence, :call, :asked_at_ms, :body);

-- name: stand
INSERT INTO aiq_waiting_for (name, part, band, number) VALUES (:name, :part, :band, :number);

-- name: drop
DELETE FROM aiq_waiting WHERE job_id = :job_id AND fence = :fence AND call = :call;

-- name: leave
DELETE FROM aiq_waiting_for
WHERE number = ANY (ARRAY(SELECT number FROM aiq_waiting WHERE job_id = :job_id AND fence = :fence AND call = :call));
