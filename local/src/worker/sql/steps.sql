-- May's progress.
UPDATE task_item SET progress_percentage = $2::float8::numeric, progress_message = $3, steps_completed = $4,
    steps_total = $5, current_step = $6, last_progress_at = timezone('utc', now())
WHERE id = $1::text::uuid RETURNING id
