-- The hash of an archive that is handed out in parts: ranges of the one that is stored, then bytes that are not stored.
--
-- $1 the plan's id     $2 the ranges, as an array of int4range     $3 the bytes after them, in base64
--
-- size: that of the stored archive; NULL where there is none.
SELECT
    octet_length(t.run_zip_snapshot)::int8 AS size,
    (
        -- unnest returns the ranges in their order.
        SELECT encode(sha256(string_agg(part.bytes, '')), 'hex') FROM (
            SELECT substring(t.run_zip_snapshot FROM lower(range) + 1 FOR upper(range) - lower(range)) AS bytes
            FROM unnest($2::text::int4range[]) range
            UNION ALL
            SELECT decode($3::text, 'base64')
        ) part
    ) AS sha256,
    t.xmin::text AS version
FROM (VALUES (1)) always LEFT JOIN task_item t ON t.id = $1::text::uuid
