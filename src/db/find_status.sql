-- What task_status and plan_status show of a plan, and the end of its archive, where the directory is.
--
-- $1 the plan's id     $2 the user whose plans are seen; NULL: all plans     $3 bytes of the end
--
-- found: false when there is no such plan, or it is another user's.
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    t.id IS NOT NULL AS found,
    coalesce(t.state::text, 'pending') AS state,
    coalesce(t.stop_requested, false) AS stop_requested,
    coalesce(t.progress_percentage, 0)::float8 AS progress_percentage,
    coalesce(t.progress_message, '')::text AS progress_message,
    to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    -- Seconds from the creation to now; of an ended plan, to its last progress, or to the stop of one that no worker had
    -- taken. Before April the end of a plan that a worker had taken is only in its event.
    extract(epoch FROM
        CASE
            WHEN t.state::text IN ('completed', 'failed') THEN t.last_progress_at
            WHEN t.state::text = 'stopped' THEN t.stop_requested_timestamp
            WHEN coalesce(t.state, 'pending') = 'pending' AND t.stop_requested THEN t.stop_requested_timestamp
            ELSE now() AT TIME ZONE 'UTC'
        END - t.timestamp_created)::float8 AS elapsed,
    -- Seconds since the last heartbeat of any worker. A worker without a plan reports about once a minute.
    CASE WHEN coalesce(t.state, 'pending') = 'pending' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w)
    END AS any_worker_seen,
    -- Seconds since the last heartbeat of the worker that has the plan. It reports with each LLM call. After a restart its
    -- row does not name the plan any more.
    CASE WHEN t.state = 'processing' THEN (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - max(w.last_heartbeat_at))::float8 FROM workers w
        WHERE w.current_task_id = t.id::text)
    END AS own_worker_seen,
    t.steps_completed::int8 AS steps_completed,
    t.steps_total::int8 AS steps_total,
    t.current_step::text AS current_step,
    to_char(t.last_progress_at, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS last_progress_at,
    t.failure_reason::text AS failure_reason,
    t.failed_step::text AS failed_step,
    t.error_message::text AS error_message,
    t.recoverable AS recoverable,
    t.generated_report_html IS NOT NULL AS has_report,
    octet_length(t.run_zip_snapshot)::int8 AS archive_size,
    substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $3::int4 + 1, 1)) AS archive_end,
    t.version AS version
-- A column that the table lacks is found here: a name belongs to the innermost table that has it.
FROM (
    VALUES (NULL::int4, NULL::int4, NULL::text, NULL::timestamp, NULL::text, NULL::text, NULL::text, NULL::bool)
) lacked (
    steps_completed, steps_total, current_step, last_progress_at, failure_reason, failed_step, error_message, recoverable)
LEFT JOIN LATERAL (
    SELECT
        id, state, stop_requested, stop_requested_timestamp, progress_percentage, progress_message, timestamp_created,
        steps_completed, steps_total, current_step, last_progress_at, failure_reason, failed_step, error_message,
        recoverable, generated_report_html, run_zip_snapshot, xmin::text AS version
    FROM task_item
    WHERE id = $1::text::uuid AND ($2::text IS NULL OR user_id = $2::text)
) t ON true
