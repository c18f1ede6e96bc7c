-- Claims the oldest task that waits; or again the one whose claim got lost with the connection, which
-- carries this worker's own note ($1) until its first step.
WITH next AS (
    SELECT id, state = 'pending' AS is_new, last_seen_timestamp IS NOT NULL AS has_last_seen
    FROM task_item
    WHERE (state = 'pending' AND stop_requested IS NOT TRUE)
       OR (state = 'processing' AND progress_message = $1)
    ORDER BY timestamp_created
    LIMIT 1
    FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE task_item AS task
    SET state = 'processing',
        progress_percentage = 0,
        progress_message = $1,
        last_seen_timestamp = timezone('utc', now())
    FROM next
    WHERE task.id = next.id
    RETURNING task.id, task.prompt, task.parameters, next.is_new, next.has_last_seen
), noted AS (
    INSERT INTO events (timestamp, event_type, message, context)
    SELECT timezone('utc', now()), 'TASK_PROCESSING', 'Task claimed by the sample worker',
           json_build_object('task_id', id::text)
    FROM claimed
    WHERE is_new
)
SELECT id::text, coalesce(prompt, ''), parameters ->> 'speed_vs_detail', has_last_seen
FROM claimed
