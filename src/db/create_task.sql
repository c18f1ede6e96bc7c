-- Creates a task, its event, its charge and its ledger entry, or none of them: one statement is one transaction.
--
-- $1 id for a new task     $2 prompt                            $3 stored detail level
-- $4 hash of the key of the user who pays, or NULL for the operator                  $5 price in credits
-- $6 the caller's request id, or NULL                           $7 seconds of the repeat window; 0: none
-- $8 salt of derived ids   $9 detail level as the caller names it
--
-- payer_known: whether the key of the user who pays is valid     created: whether this call has made the task
-- same_prompt, same_detail: whether an earlier task with the same request id has this prompt and this detail level
-- balance: the payer's credits afterwards; NULL for the operator
WITH moment AS (
    SELECT now() AT TIME ZONE 'UTC' AS at
),
payer AS (
    SELECT k.user_id FROM user_api_key k WHERE k.key_hash = $4::text AND k.revoked_at IS NULL
),
-- Locked before anything is written, so that calls of one user follow each other and each sees the last balance.
account AS MATERIALIZED (
    SELECT a.id, a.credits_balance FROM user_account a
    WHERE a.id = (SELECT user_id FROM payer)
    FOR UPDATE
),
owner AS (
    SELECT id::text AS name, $5::int4 <= 0 OR credits_balance >= $5::int4 AS solvent FROM account
    UNION ALL
    SELECT 'mcp_user', true WHERE $4::text IS NULL
),
-- A request id becomes the primary key, so Postgres keeps it unique. It is the owner's: others may use the same one.
request AS (
    SELECT
        name,
        solvent,
        CASE WHEN $6::text IS NULL THEN $1::text ELSE overlay(overlay(
            left(encode(sha256(convert_to($8::text || E'\nrequest\n' || name || E'\n' || $6::text, 'UTF8')), 'hex'), 32)
            PLACING '8' FROM 13) PLACING '8' FROM 17)
        END::uuid AS id,
        CASE WHEN $6::text IS NULL AND $7::float8 > 0 THEN
            'mcp:' || encode(sha256(convert_to(name || E'\n' || $3::text || E'\n' || $2::text, 'UTF8')), 'hex')
        END AS claim_key
    FROM owner
),
-- The task of an earlier call with the same request id. A call that runs at the same time is not visible here: then the
-- insert below does nothing, and find_created.sql finds the task.
earlier AS (
    SELECT
        t.timestamp_created AS created_at,
        coalesce(t.prompt = $2::text, false) AS same_prompt,
        coalesce(t.parameters ->> 'speed_vs_detail' = $3::text, false) AS same_detail
    FROM task_item t, request
    WHERE t.id = request.id AND t.user_id = request.name
),
-- The task of an earlier claim of the same prompt, when it was stopped, failed or removed. A claim that is visible here
-- was written together with its task: only a removed task can be missing.
ended AS (
    SELECT (n.context ->> 'task_id')::uuid AS task_id
    FROM nonces n, request
    WHERE n.nonce_key = claim_key AND NOT EXISTS (
        SELECT FROM task_item t
        WHERE t.id = (n.context ->> 'task_id')::uuid
        AND (t.state = 'completed' OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE))
),
-- The same prompt again takes the row of the first call: it waits for that call to end and then sees its task.
claim AS (
    INSERT INTO nonces AS n (nonce_key, created_at, last_accessed_at, request_count, context)
    SELECT claim_key, at, at, 1, json_build_object('task_id', request.id)
    FROM request, moment
    WHERE solvent AND claim_key IS NOT NULL
    ON CONFLICT (nonce_key) DO UPDATE SET
        last_accessed_at = excluded.last_accessed_at,
        request_count = n.request_count + 1,
        (created_at, context) = (
            SELECT
                CASE WHEN is_live THEN n.created_at ELSE excluded.created_at END,
                CASE WHEN is_live THEN n.context ELSE excluded.context END
            FROM (SELECT n.created_at > excluded.created_at - make_interval(secs => $7::float8)
                AND (n.context ->> 'task_id')::uuid IS DISTINCT FROM (SELECT task_id FROM ended) AS is_live) live)
    RETURNING (context ->> 'task_id')::uuid AS task_id, created_at
),
task AS (
    INSERT INTO task_item (
        id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage, stop_requested, user_id,
        parameters
    )
    SELECT
        request.id, at, at, 'pending', $2::text, 0, false, name,
        json_build_object('speed_vs_detail', $3::text)
    FROM request, moment
    WHERE solvent AND NOT EXISTS (SELECT FROM claim WHERE claim.task_id <> request.id)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, user_id, parameters
),
event AS (
    INSERT INTO events ("timestamp", event_type, message, context)
    SELECT at, 'TASK_PENDING', 'Enqueued task via MCP', json_build_object(
        'task_id', task.id, 'task_handle', task.id, 'prompt', $2::text, 'user_id', task.user_id,
        'config', json_build_object('speed_vs_detail', $9::text), 'metadata', NULL, 'parameters', task.parameters)
    FROM task, moment
),
charge AS (
    UPDATE user_account a SET credits_balance = a.credits_balance - $5::int4, updated_at = at
    FROM task, moment
    WHERE a.id = (SELECT id FROM account) AND $5::int4 > 0
    RETURNING a.id
),
ledger AS (
    INSERT INTO credit_history (id, user_id, delta, reason, source, external_id, created_at)
    SELECT gen_random_uuid(), charge.id, -$5::int4, 'plan_created', 'mcp', task.id::text, at
    FROM charge, task, moment
),
-- No call waits for another one that uses the same key: a locked row is being set to this minute.
used AS (
    UPDATE user_api_key k SET last_used_at = at
    FROM moment
    WHERE k.id = (SELECT id FROM user_api_key WHERE key_hash = $4::text AND revoked_at IS NULL FOR UPDATE SKIP LOCKED)
)
SELECT
    EXISTS (SELECT FROM owner) AS payer_known,
    EXISTS (SELECT FROM task) AS created,
    coalesce((SELECT task_id FROM claim), (SELECT id FROM request))::text AS id,
    to_char(CASE WHEN EXISTS (SELECT FROM task) THEN at
            ELSE coalesce((SELECT created_at FROM claim), (SELECT created_at FROM earlier)) END,
        'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    coalesce((SELECT same_prompt FROM earlier), true) AS same_prompt,
    coalesce((SELECT same_detail FROM earlier), true) AS same_detail,
    (SELECT credits_balance FROM account)::int8
        - CASE WHEN EXISTS (SELECT FROM charge) THEN $5::int4 ELSE 0 END AS balance
FROM moment
