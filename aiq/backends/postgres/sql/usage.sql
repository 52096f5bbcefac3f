-- usage: what was used, by minute, model and category.
-- spec: USAGE-8

-- name: page
SELECT coalesce(
    json_agg(json_build_array(minute_ms, model, category, tokens, usd_micros, unpriced, estimated)), '[]'::json
)
FROM (
    SELECT minute_ms, model, category, tokens, usd_micros, unpriced, estimated
    FROM aiq_usage
    WHERE scope = :scope AND owner = :owner AND minute_ms >= :since_ms AND minute_ms < :until_ms
        AND (minute_ms, model, category) > (:minute_ms, :model, :category)
    ORDER BY minute_ms, model, category
    LIMIT :limit
) AS found;
