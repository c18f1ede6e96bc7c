-- Claims the oldest task that waits: id, prompt, level of detail, user, model profile, whether it resumes, the date of
-- its start, seconds since its creation.
UPDATE task_item
SET state = 'processing', progress_message = 'Picked up by server', progress_percentage = 0
WHERE id = (
    SELECT id FROM task_item WHERE state = 'pending' AND stop_requested IS NOT TRUE
    ORDER BY timestamp_created LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id::text, coalesce(prompt, 'None'), coalesce(
    substring(coalesce(nullif(parameters ->> 'speed_vs_detail', ''), parameters ->> 'speedvsdetail')
        FROM '^(?:ping_llm|fast_but_skip_details|all_details_but_slow)$'),
    CASE WHEN parameters::jsonb ? 'fast' THEN 'fast_but_skip_details' ELSE 'all_details_but_slow' END
), coalesce(user_id, 'None'),
    coalesce(substring(lower(parameters ->> 'model_profile') FROM '^(?:premium|frontier|custom)$'), 'baseline'),
    coalesce(parameters ->> 'resume', ''), coalesce(parameters ->> 'start_date', ''),
    extract(epoch FROM timezone('utc', clock_timestamp()) - timestamp_created)::float8::text
