-- heads: the first jobs of lines.
-- spec: BAND-4, POOL-5, CLAIM-11

-- name: next
-- Of each line the first behind a place, with what each payload weighs.
SELECT json_group_array(json_array(asked.key, j.lane, j.position, j.id, j.n, length(s.payload)))
FROM json_each(:lines) AS asked
CROSS JOIN aiq_jobs AS j ON j.n IN (
    SELECT h.n FROM aiq_jobs AS h
    WHERE h.queue = json_extract(asked.value, '$[0]') AND h.pool = json_extract(asked.value, '$[1]') AND h.aside = 0
        AND h.band = json_extract(asked.value, '$[2]') AND h.line = json_extract(asked.value, '$[3]')
        AND h.state = 'ready'
        AND (h.lane, h.position) > (json_extract(asked.value, '$[4]'), json_extract(asked.value, '$[5]'))
    ORDER BY h.lane, h.position
    LIMIT :count
)
CROSS JOIN aiq_specs AS s ON s.n = j.n;
