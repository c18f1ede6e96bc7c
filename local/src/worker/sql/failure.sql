-- Why a plan has failed.
UPDATE task_item SET failure_reason = $2, failed_step = current_step, error_message = left($3, 256), recoverable = $4
WHERE id = $1::text::uuid RETURNING id
