-- The task of an earlier call of task_create: by the id that its request id led to, or by the claim of its prompt.
--
-- $1 the id     $2 prompt     $3 stored detail level     $4 hash of the user's key, or NULL     $5 seconds of the window
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
)
SELECT t.id::text, to_char(t.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')
FROM task_item t, owner
WHERE t.user_id = owner.name AND t.id IN ($1::text::uuid, (SELECT task_id FROM claim))
LIMIT 1
