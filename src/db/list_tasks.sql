-- The newest plans.
--
-- $1 the user whose plans are seen; NULL: all plans     $2 how many
--
-- plans: a JSON array of {id, state, stop_requested, percentage, created_at, excerpt}, the newest first.
SELECT
    to_regclass('plans') IS NULL AS is_current, --[task_item]
    coalesce(json_agg(json_build_object(
        'id', t.id,
        'state', coalesce(t.state::text, 'pending'),
        'stop_requested', coalesce(t.stop_requested, false),
        'percentage', coalesce(t.progress_percentage, 0)::float8,
        'created_at', to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
        'excerpt', t.excerpt) ORDER BY t.timestamp_created DESC NULLS LAST), '[]')::text AS plans
FROM (
    SELECT id, state, stop_requested, progress_percentage, timestamp_created, left(coalesce(prompt, ''), 100) AS excerpt
    FROM task_item
    WHERE $1::text IS NULL OR user_id = $1::text
    ORDER BY timestamp_created DESC NULLS LAST
    LIMIT $2::int4
) t
