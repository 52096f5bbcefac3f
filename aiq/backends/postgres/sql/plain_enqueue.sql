-- plain_enqueue: store new plain jobs within a step that does something else too.
-- spec: ENQ-1, ENQ-2, ENQ-4, ENQ-5, ENQ-6, ENQ-9

-- name: store
-- NULL where an id was given before; then nothing is written.
SELECT CASE WHEN aiq_are_new_4(:ids::text[]) THEN aiq_store_4(
    :now_ms::bigint, :ids::text[], :digests::text[], :payloads::bytea[], :kinds::integer[], :described::json
) END;
