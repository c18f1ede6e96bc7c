-- The beginning of every statement about one task: who asks, and which task is meant.
--
-- $1 the id, or a legacy id     $2 hash of the asking user's key, or NULL for the operator, who sees all tasks
WITH caller AS MATERIALIZED (
    SELECT k.id, k.user_id::text AS name FROM user_api_key k
    WHERE k.key_hash = $2::text AND k.revoked_at IS NULL
),
-- Noted once a minute, so that a client that polls writes next to nothing; nobody waits for another call's note.
used AS (
    UPDATE user_api_key k SET last_used_at = now() AT TIME ZONE 'UTC'
    WHERE k.id = (
        SELECT u.id FROM user_api_key u
        WHERE u.id = (SELECT id FROM caller)
        AND (u.last_used_at IS NULL OR u.last_used_at < now() AT TIME ZONE 'UTC' - interval '1 minute')
        FOR UPDATE SKIP LOCKED)
),
-- Another user's task takes the same way through both searches as a task that does not exist.
asked AS MATERIALIZED (
    SELECT coalesce(
        (SELECT t.id FROM task_item t WHERE t.id = $1::text::uuid
            AND ($2::text IS NULL OR t.user_id = (SELECT name FROM caller))),
        (SELECT t.id FROM task_item t WHERE t.parameters ->> '_mcp_task_id' = $1::text
            AND ($2::text IS NULL OR t.user_id = (SELECT name FROM caller)) LIMIT 1)) AS id
)
