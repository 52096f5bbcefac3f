-- heads: the first jobs of lines.
-- spec: BAND-4, POOL-5, CLAIM-11

-- name: next
-- Of each line the first behind a place, with what each payload weighs. A row that somebody holds who is no part of this
-- storage is passed over, as in claim.next: its job has to wait, and no other.
SELECT coalesce(json_agg(json_build_array(
    asked.key - 1, j.lane, j.position, j.id, j.n, (SELECT octet_length(payload) FROM aiq_specs WHERE n = j.n)
)), '[]'::json)
FROM jsonb_array_elements(:lines::jsonb) WITH ORDINALITY AS asked(item, key)
CROSS JOIN LATERAL (
    SELECT lane, position, id, n FROM aiq_live
    WHERE queue = item->>0 AND pool = item->>1 AND aside = 0 AND band = (item->>2)::smallint AND line = item->>3
        AND state = 'ready' AND (lane, position) > ((item->>4)::smallint, (item->>5)::bigint)
    ORDER BY lane, position
    LIMIT :count
    FOR NO KEY UPDATE SKIP LOCKED
) AS j;
