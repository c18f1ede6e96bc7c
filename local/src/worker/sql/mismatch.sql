-- Fails a plan that another version of PlanExe began.
UPDATE task_item SET state = 'failed', progress_message = $2, failure_reason = 'version_mismatch',
    failed_step = current_step, error_message = $2, recoverable = false,
    parameters = (parameters::jsonb - 'pipeline_version')::text::json
WHERE id = $1::text::uuid RETURNING id
