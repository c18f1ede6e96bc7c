-- State of a task together with the size of its archive, which is not looked into.
--
-- $1 the id     $2 the user who may see it, or NULL for the operator
SELECT
    t.id::text,
    t.state::text,
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    octet_length(t.run_zip_snapshot)::int8,
    t.xmin::text,
    floor(extract(epoch FROM CASE WHEN t.state IN ('completed', 'failed') THEN t.last_seen_timestamp END))::int8
FROM task_item t
WHERE t.id = coalesce(
    (SELECT id FROM task_item WHERE id = $1::text::uuid),
    (SELECT id FROM task_item WHERE parameters ->> '_mcp_task_id' = $1::text LIMIT 1))
AND ($2::text IS NULL OR t.user_id = $2::text)
