-- Requests the stop of a task that has not ended, and returns the resulting state. A second request changes nothing.
--
-- $1 the task's id     $2 the user whose tasks are seen; NULL: all tasks
--
-- found: false when there is no such task, or it is another user's.
WITH asked AS MATERIALIZED (
    SELECT t.id, coalesce(t.state::text, 'pending') AS state, coalesce(t.stop_requested, false) AS stop_requested
    FROM task_item t
    WHERE t.id = $1::text::uuid AND ($2::text IS NULL OR t.user_id = $2::text)
    FOR UPDATE
),
stopped AS (
    UPDATE task_item t SET
        stop_requested = true,
        stop_requested_timestamp = now() AT TIME ZONE 'UTC',
        progress_message = 'Stop requested by user.'
    FROM asked
    WHERE t.id = asked.id AND asked.state IN ('pending', 'processing') AND NOT asked.stop_requested
    RETURNING t.id
)
SELECT
    asked.id IS NOT NULL AS found,
    coalesce(asked.state, 'pending') AS state,
    coalesce(asked.stop_requested, false) OR EXISTS (SELECT FROM stopped) AS stop_requested
FROM (VALUES (1)) always LEFT JOIN asked ON true
