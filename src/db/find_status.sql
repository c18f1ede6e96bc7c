-- What task_status shows of a task, and the end of its archive, where the directory is.
--
-- $1 the task's id     $2 the user whose tasks are seen; NULL: all tasks     $3 bytes of the end
--
-- found: false when there is no such task, or it is another user's.
SELECT
    t.id IS NOT NULL AS found,
    coalesce(t.state::text, 'pending') AS state,
    coalesce(t.stop_requested, false) AS stop_requested,
    coalesce(t.progress_percentage, 0)::float8 AS progress_percentage,
    coalesce(t.progress_message, '')::text AS progress_message,
    to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    -- Seconds from the creation to now, or to the stop of a task that no worker had taken. The end of a task that a worker
    -- had taken is in its event.
    extract(epoch FROM
        CASE
            WHEN t.state IN ('completed', 'failed') THEN NULL
            WHEN coalesce(t.state, 'pending') = 'pending' AND t.stop_requested THEN t.stop_requested_timestamp
            ELSE now() AT TIME ZONE 'UTC'
        END - t.timestamp_created)::float8 AS elapsed,
    -- Seconds since the last heartbeat of any worker. A worker without a task reports about once a minute.
    CASE WHEN coalesce(t.state, 'pending') = 'pending' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w)
    END AS any_worker_seen,
    -- Seconds since the last heartbeat of the worker that has the task. It reports with each LLM call. After a restart its
    -- row does not name the task any more.
    CASE WHEN t.state = 'processing' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w
        WHERE w.current_task_id = t.id::text)
    END AS own_worker_seen,
    t.generated_report_html IS NOT NULL AS has_report,
    octet_length(t.run_zip_snapshot)::int8 AS archive_size,
    substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $3::int4 + 1, 1)) AS archive_end,
    t.xmin::text AS version
FROM (VALUES (1)) always
LEFT JOIN task_item t ON t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
