-- The task of an earlier call of task_create that create_task.sql could not see: by the id that its request id led to,
-- or by the claim of its prompt. Of claims, only tasks that were not stopped, failed or removed count.
--
-- $1 the id     $2 prompt     $3 stored detail level     $4 hash of the key of the user who pays, or NULL
-- $5 seconds of the repeat window
--
-- id: NULL when there is no such task     same_prompt, same_detail: whether it has this prompt and this detail level
WITH owner AS (
    SELECT k.user_id::text AS name FROM user_api_key k WHERE k.key_hash = $4::text
    UNION ALL
    SELECT 'mcp_user' WHERE $4::text IS NULL
),
claim AS (
    SELECT (n.context ->> 'task_id')::uuid AS task_id
    FROM nonces n, owner
    WHERE n.nonce_key =
        'mcp:' || encode(sha256(convert_to(owner.name || E'\n' || $3::text || E'\n' || $2::text, 'UTF8')), 'hex')
        AND n.created_at > now() AT TIME ZONE 'UTC' - make_interval(secs => $5::float8)
),
found AS (
    SELECT t.id, t.timestamp_created, t.prompt, t.parameters ->> 'speed_vs_detail' AS detail
    FROM task_item t, owner
    WHERE t.user_id = owner.name AND (
        t.id = $1::text::uuid
        OR t.id = (SELECT task_id FROM claim)
        AND (t.state = 'completed' OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE))
    LIMIT 1
)
SELECT
    found.id::text AS id,
    to_char(found.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    coalesce(found.prompt = $2::text, false) AS same_prompt,
    coalesce(found.detail = $3::text, false) AS same_detail
FROM (VALUES (1)) always LEFT JOIN found ON true
