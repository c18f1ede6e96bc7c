-- Requests the stop of a task that has not ended, and returns the resulting state. A second request changes nothing.
--
-- $1 the task's id     $2 the user whose tasks are seen; NULL: all tasks
--
-- was_alive: whether the plan had not ended before     found: false when there is no such task, or it is another user's.
WITH asked AS MATERIALIZED (
    SELECT t.id, coalesce(t.state::text, 'pending') AS state, coalesce(t.stop_requested, false) AS stop_requested
    FROM task_item t
    WHERE t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
    FOR UPDATE
),
stopped AS (
    UPDATE task_item t SET
        --[stopped] state = 'stopped',
        stop_requested = true,
        stop_requested_timestamp = now() AT TIME ZONE 'UTC',
        progress_message = 'Stop requested by user.'
    FROM asked
    WHERE t.id = asked.id AND asked.state IN ('pending', 'processing') AND NOT asked.stop_requested
    RETURNING t.id
)
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    asked.id IS NOT NULL AS found,
    coalesce(asked.state, 'pending') AS state, --[no stopped]
    --[stopped] CASE WHEN EXISTS (SELECT FROM stopped) THEN 'stopped' ELSE coalesce(asked.state, 'pending') END AS state,
    coalesce(asked.state IN ('pending', 'processing'), false) AS was_alive,
    coalesce(asked.stop_requested, false) OR EXISTS (SELECT FROM stopped) AS stop_requested
FROM (VALUES (1)) always LEFT JOIN asked ON true
