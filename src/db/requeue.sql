-- Puts a plan that failed or was stopped into the queue again: from its beginning, or so that the worker goes on with the
-- files that are there. One statement is one transaction.
--
-- $1 the plan's id     $2 the user whose plans are seen; NULL: all plans     $3 model profile
-- $4 pipeline version of today's workers     $5 hash of the caller's key, or NULL
--
-- found: false when there is no such plan, or it is another user's.
-- at_work: whether a worker has told within 5 minutes that it works on the plan. The state of a plan changes when its stop is
-- requested, the worker ends later: two workers would run the same plan.
-- fits: whether the files were made by the same version of the pipeline     requeued: whether the plan is in the queue now
WITH asked AS MATERIALIZED (
    SELECT
        t.id, coalesce(t.state::text, 'pending') AS state, coalesce(t.stop_requested, false) AS stop_requested,
        CASE WHEN json_typeof(t.parameters) = 'object' THEN t.parameters::jsonb ELSE '{}'::jsonb END AS parameters
    FROM task_item t
    WHERE t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
    FOR UPDATE
),
checked AS MATERIALIZED (
    SELECT
        asked.*,
        asked.state IN ('failed', 'stopped') OR asked.state = 'pending' AND asked.stop_requested AS has_ended,
        EXISTS (
            SELECT FROM workers w
            WHERE w.current_task_id = asked.id::text
            AND w.last_heartbeat_at > now() AT TIME ZONE 'UTC' - interval '5 minutes') AS at_work,
        true AS fits --[retry]
        --[resume, steps_total] coalesce(asked.parameters ->> 'pipeline_version' = $4::int4::text, false) AS fits
        --[resume, no steps_total] false AS fits
    FROM asked
),
requeued AS (
    UPDATE task_item t SET
        state = 'pending',
        stop_requested = false,
        stop_requested_timestamp = NULL,
        --[failure_reason] failure_reason = NULL,
        --[failed_step] failed_step = NULL,
        --[error_message] error_message = NULL,
        --[recoverable] recoverable = NULL,
        progress_message = 'Retry requested via MCP.', --[retry]
        timestamp_created = now() AT TIME ZONE 'UTC', --[retry]
        progress_percentage = 0, --[retry]
        generated_report_html = NULL, --[retry]
        run_zip_snapshot = NULL, --[retry]
        --[retry, steps_completed] steps_completed = NULL,
        --[retry, steps_total] steps_total = NULL,
        --[retry, current_step] current_step = NULL,
        --[retry, last_progress_at] last_progress_at = NULL,
        --[retry, run_track_activity_jsonl] run_track_activity_jsonl = NULL,
        --[retry, run_track_activity_bytes] run_track_activity_bytes = NULL,
        --[retry, run_activity_overview_json] run_activity_overview_json = NULL,
        --[retry, run_artifact_layout_version] run_artifact_layout_version = NULL,
        --[retry, api_key_id] api_key_id = coalesce((
        --[retry, api_key_id]     SELECT k.id::text FROM user_api_key k
        --[retry, api_key_id]     WHERE k.key_hash = $5::text AND k.revoked_at IS NULL AND k.user_id::text = t.user_id), t.api_key_id),
        --[resume] progress_message = 'Resume requested via MCP.',
        parameters = (checked.parameters || jsonb_build_object(
            --[resume] 'resume', true,
            --[resume] 'resume_count', CASE WHEN jsonb_typeof(checked.parameters -> 'resume_count') = 'number'
            --[resume]     THEN (checked.parameters ->> 'resume_count')::numeric::int ELSE 0 END + 1,
            'trigger_source', 'mcp plan_retry', --[retry]
            --[resume] 'trigger_source', 'mcp plan_resume',
            'model_profile', $3::text,
            'pipeline_version', $4::int4))::json
    FROM checked
    WHERE t.id = checked.id AND checked.has_ended AND NOT checked.at_work AND checked.fits
    RETURNING t.id, t.parameters
),
-- What the earlier run has cost stays paid: the worker counts from zero again.
settled AS ( --[retry]
    UPDATE credit_history SET source = 'usage_billing_settled' --[retry]
    WHERE source = 'usage_billing_progress' AND external_id = (SELECT id::text FROM requeued) --[retry]
), --[retry]
event AS (
    INSERT INTO events ("timestamp", event_type, message, context)
    SELECT
        now() AT TIME ZONE 'UTC', 'TASK_PENDING',
        'Retried failed task via MCP', --[retry]
        --[resume] 'Resumed failed task via MCP',
        json_build_object(
            'task_id', r.id, --[task_item]
            --[plans] 'plan_id', r.id,
            'task_handle', r.id,
            'retry_of_plan_id', r.id, --[retry]
            --[resume] 'resume_of_plan_id', r.id,
            --[resume] 'resume_count', r.parameters -> 'resume_count',
            'model_profile', $3::text, 'parameters', r.parameters)
    FROM requeued r
)
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    checked.id IS NOT NULL AS found,
    coalesce(checked.state, 'pending') AS state,
    coalesce(checked.stop_requested, false) AS stop_requested,
    coalesce(checked.at_work, false) AS at_work,
    coalesce(checked.fits, false) AS fits,
    EXISTS (SELECT FROM requeued) AS requeued,
    ((SELECT parameters FROM requeued) ->> 'resume_count')::numeric::int8 AS resume_count,
    to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS requeued_at,
    $5::text IS NULL AS by_operator
FROM (VALUES (1)) always LEFT JOIN checked ON true
