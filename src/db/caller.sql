-- The beginning of every statement about one task: the user who calls, and the task if that user may see it.
--
-- $1 the task's id     $2 hash of the calling user's key, or NULL for the operator, who sees all tasks
WITH caller AS MATERIALIZED (
    SELECT k.id, k.user_id::text AS name FROM user_api_key k
    WHERE k.key_hash = $2::text AND k.revoked_at IS NULL
),
-- A use is recorded once a minute, so that polling writes little. A locked row is being set to this minute already.
used AS (
    UPDATE user_api_key k SET last_used_at = now() AT TIME ZONE 'UTC'
    WHERE k.id = (
        SELECT u.id FROM user_api_key u
        WHERE u.id = (SELECT id FROM caller)
        AND (u.last_used_at IS NULL OR u.last_used_at < now() AT TIME ZONE 'UTC' - interval '1 minute')
        FOR UPDATE SKIP LOCKED)
),
-- Another user's task looks like one that does not exist.
asked AS MATERIALIZED (
    SELECT (
        SELECT t.id FROM task_item t
        WHERE t.id = $1::text::uuid
        AND ($2::text IS NULL OR t.user_id = (SELECT name FROM caller))) AS id
)
