-- Requests the stop of a task that has not ended, and returns the resulting state. A second request changes nothing.
-- Follows caller.sql.
, found AS MATERIALIZED (
    SELECT t.id, coalesce(t.state::text, 'pending') AS state, coalesce(t.stop_requested, false) AS stop_requested
    FROM task_item t
    WHERE t.id = (SELECT id FROM asked)
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
SELECT
    $2::text IS NULL OR EXISTS (SELECT FROM caller),
    found.id IS NOT NULL,
    found.state,
    found.stop_requested OR EXISTS (SELECT FROM stopped)
FROM asked LEFT JOIN found ON true
