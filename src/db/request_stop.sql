-- Asks for the stop of a task that has not ended, and tells the state that results. A second request changes nothing.
--
-- $1 the id     $2 the user who may stop it, or NULL for the operator
WITH found AS MATERIALIZED (
    SELECT t.id, t.state, coalesce(t.stop_requested, false) AS stop_requested
    FROM task_item t
    WHERE t.id = coalesce(
        (SELECT id FROM task_item WHERE id = $1::text::uuid),
        (SELECT id FROM task_item WHERE parameters ->> '_mcp_task_id' = $1::text LIMIT 1))
    AND ($2::text IS NULL OR t.user_id = $2::text)
    FOR UPDATE
),
stopped AS (
    UPDATE task_item t SET
        stop_requested = true,
        stop_requested_timestamp = now() AT TIME ZONE 'UTC',
        progress_message = 'Stop requested by user.'
    FROM found
    WHERE t.id = found.id AND found.state IN ('pending', 'processing') AND NOT found.stop_requested
    RETURNING t.id
)
SELECT found.state::text, found.stop_requested OR EXISTS (SELECT FROM stopped)
FROM found
