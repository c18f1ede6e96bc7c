-- What task_status and plan_status show of a plan, and the end of its archive, where the directory is.
--
-- $1 the plan's id     $2 the user whose plans are seen; NULL: all plans     $3 bytes of the end
--
-- found: false when there is no such plan, or it is another user's.
-- creation, stop, progress, present: Unix times of the creation, of the request to stop, of the last progress, and of now.
-- worker_seen: seconds since the last heartbeat; of a pending plan that of any worker, else that of the worker which has the
-- plan. A worker without a plan reports about once a minute, one with a plan with each LLM call. After a restart its row does
-- not name the plan any more.
-- columns: what builds after February 2026 write, a JSON object.
SELECT
    to_regclass('plans') IS NULL AS is_current, --[task_item]
    t.id IS NOT NULL AS found,
    coalesce(t.state::text, 'pending') AS state,
    coalesce(t.stop_requested, false) AS stop_requested,
    coalesce(t.progress_percentage, 0)::float8 AS progress_percentage,
    coalesce(t.progress_message, '')::text AS progress_message,
    extract(epoch FROM t.timestamp_created)::float8 AS creation,
    extract(epoch FROM t.stop_requested_timestamp)::float8 AS stop,
    extract(epoch FROM t.last_progress_at)::float8 AS progress, --[columns]
    --[no columns] NULL::float8 AS progress,
    extract(epoch FROM now())::float8 AS present,
    -- Postgres plans this in half the time that max() would take.
    (
        SELECT extract(epoch FROM now() AT TIME ZONE 'UTC' - w.last_heartbeat_at)::float8 FROM workers w
        WHERE coalesce(t.state, 'pending') = 'pending' OR w.current_task_id = t.id::text
        ORDER BY w.last_heartbeat_at DESC LIMIT 1
    ) AS worker_seen,
    json_build_object( --[columns]
        'steps_completed', t.steps_completed, 'steps_total', t.steps_total, 'current_step', t.current_step, --[columns]
        'failure_reason', t.failure_reason, 'failed_step', t.failed_step, 'error_message', t.error_message, --[columns]
        'recoverable', t.recoverable)::text AS columns, --[columns]
    --[no columns] NULL::text AS columns,
    t.generated_report_html IS NOT NULL AS has_report,
    octet_length(t.run_zip_snapshot)::int8 AS archive_size,
    substring(t.run_zip_snapshot FROM greatest(octet_length(t.run_zip_snapshot) - $3::int4 + 1, 1)) AS archive_end,
    t.version AS version --[lacking]
    --[no lacking] t.xmin::text AS version
-- A column that the table lacks is found here: a name belongs to the innermost table that has it.
FROM ( --[lacking]
    VALUES (NULL::int4, NULL::int4, NULL::text, NULL::timestamp, NULL::text, NULL::text, NULL::text, NULL::bool) --[lacking]
) lacked ( --[lacking]
    steps_completed, steps_total, current_step, last_progress_at, failure_reason, failed_step, error_message, recoverable) --[lacking]
LEFT JOIN LATERAL ( --[lacking]
    SELECT --[lacking]
        id, state, stop_requested, stop_requested_timestamp, progress_percentage, progress_message, timestamp_created, --[lacking]
        steps_completed, steps_total, current_step, last_progress_at, failure_reason, failed_step, error_message, --[lacking]
        recoverable, generated_report_html, run_zip_snapshot, xmin::text AS version --[lacking]
    FROM task_item --[lacking]
    WHERE id = $1::text::uuid AND ($2::text IS NULL OR user_id = $2::text) --[lacking]
) t ON true --[lacking]
--[no lacking] FROM (VALUES (1)) always
--[no lacking] LEFT JOIN task_item t ON t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
