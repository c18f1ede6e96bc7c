-- The plan of an earlier call that create_task.sql could not see: by the id that its request id led to, or by the claim of
-- its prompt. Of claims, only plans that were not stopped, failed or removed count.
--
-- $1 the id     $2 prompt     $3 value of the parameter of $6 that tells plans apart
-- $4 hash of the key of the user who pays, or NULL     $5 seconds of the repeat window
-- $6 'speed_vs_detail' or 'model_profile'
--
-- id: NULL when there is no such plan     same_prompt, same_detail: whether it has this prompt and this value of $3
WITH owner AS (
    SELECT k.user_id::text AS name FROM user_api_key k WHERE k.key_hash = $4::text
    UNION ALL
    SELECT CASE WHEN to_regclass('token_metrics') IS NULL THEN 'mcp_user' ELSE 'admin' END WHERE $4::text IS NULL --[task_item]
    --[plans] SELECT 'admin' WHERE $4::text IS NULL
),
claim AS (
    SELECT (n.context ->> 'task_id')::uuid AS task_id --[nonces]
    FROM nonces n, owner --[nonces]
    WHERE n.nonce_key = --[nonces]
        'mcp:' || encode(sha256(convert_to(owner.name || E'\n' || $3::text || E'\n' || $2::text, 'UTF8')), 'hex') --[nonces]
        AND n.created_at > now() AT TIME ZONE 'UTC' - make_interval(secs => $5::float8) --[nonces]
    --[no nonces] SELECT NULL::uuid AS task_id WHERE $5::float8 IS NULL
),
found AS (
    SELECT t.id, t.timestamp_created, t.prompt, t.parameters ->> $6::text AS detail
    FROM task_item t, owner
    WHERE t.user_id = owner.name AND (
        t.id = $1::text::uuid
        OR t.id = (SELECT task_id FROM claim) AND (
            t.state = 'completed' AND $6::text = 'speed_vs_detail'
            OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE))
    LIMIT 1
)
SELECT
    found.id::text AS id,
    to_char(found.timestamp_created, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    coalesce(found.prompt = $2::text, false) AS same_prompt,
    coalesce(found.detail = $3::text, false) AS same_detail
FROM (VALUES (1)) always LEFT JOIN found ON true
