-- State of a task together with the size of its archive, which is not looked into. Follows caller.sql.
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    t.id::text,
    t.state::text,
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    octet_length(t.run_zip_snapshot)::int8,
    t.xmin::text,
    floor(extract(epoch FROM CASE WHEN t.state IN ('completed', 'failed') THEN t.last_seen_timestamp END))::int8
FROM asked LEFT JOIN task_item t ON t.id = asked.id
