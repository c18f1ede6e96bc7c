-- What task_status shows of a task, and the end of its archive, where the directory is. Follows caller.sql.
--
-- $3 bytes of the end
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    t.id::text,
    t.state::text,
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    greatest(0, extract(epoch FROM
        CASE
            WHEN t.state IN ('completed', 'failed') THEN t.last_seen_timestamp
            WHEN t.state = 'pending' AND t.stop_requested THEN t.stop_requested_timestamp
            ELSE now() AT TIME ZONE 'UTC'
        END - t.timestamp_created))::float8,
    octet_length(t.run_zip_snapshot)::int8,
    substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $3::int4 + 1, 1)),
    t.xmin::text
FROM asked LEFT JOIN task_item t ON t.id = asked.id
