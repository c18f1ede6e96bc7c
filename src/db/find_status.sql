-- What task_status shows of a task, and the end of its archive, where the directory is. Follows caller.sql.
--
-- $3 bytes of the end
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    t.id IS NOT NULL,
    coalesce(t.state::text, 'pending'),
    coalesce(t.stop_requested, false),
    coalesce(t.progress_percentage, 0)::float8,
    coalesce(t.progress_message, ''),
    to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    -- Seconds from the creation to now, or to the stop of a task that no worker had taken. The end of a task that a worker
    -- had taken is in its event.
    extract(epoch FROM
        CASE
            WHEN t.state IN ('completed', 'failed') THEN NULL
            WHEN coalesce(t.state, 'pending') = 'pending' AND t.stop_requested THEN t.stop_requested_timestamp
            ELSE now() AT TIME ZONE 'UTC'
        END - t.timestamp_created)::float8,
    -- Seconds since the last sign of any worker. A worker without a task reports about once a minute.
    CASE WHEN coalesce(t.state, 'pending') = 'pending' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w) END,
    -- Seconds since the last sign of the worker that has the task. It reports with each LLM call. After a restart its row
    -- names the task no longer.
    CASE WHEN t.state = 'processing' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w
        WHERE w.current_task_id = t.id::text) END,
    octet_length(t.run_zip_snapshot)::int8,
    substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $3::int4 + 1, 1)),
    t.generated_report_html IS NOT NULL,
    t.xmin::text
FROM asked LEFT JOIN task_item t ON t.id = asked.id
