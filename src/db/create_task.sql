-- Creates a plan, its event, its charge and its ledger entry, or none of them: one statement is one transaction.
--
-- $1 id for a new plan     $2 prompt                            $3 value of the parameter of $10 that tells plans apart
-- $4 hash of the key of the user who pays, or NULL for the operator                  $5 price in credits
-- $6 the caller's request id, or NULL                           $7 seconds of the repeat window; 0: none
-- $8 salt of derived ids   $9 the plan's parameters, JSON       $10 'speed_vs_detail' or 'model_profile'
-- $11 the parameters as the caller names them, JSON
--
-- payer_known: whether the key of the user who pays is valid     created: whether this call has made the plan
-- same_prompt, same_detail: whether an earlier plan with the same request id has this prompt and this value of $3
-- balance: the payer's credits afterwards, NULL for the operator     worker_bills: whether PlanExe's worker takes them
WITH moment AS (
    -- Since the table token_metrics, of 10 February 2026, the worker bills what a plan has cost.
    SELECT now() AT TIME ZONE 'UTC' AS at, to_regclass('token_metrics') IS NOT NULL AS worker_bills --[task_item]
    --[plans] SELECT now() AT TIME ZONE 'UTC' AS at, true AS worker_bills
),
payer AS (
    SELECT k.id, k.user_id FROM user_api_key k WHERE k.key_hash = $4::text AND k.revoked_at IS NULL
),
-- Locked before anything is written, so that calls of one user follow each other and each sees the last balance.
account AS MATERIALIZED (
    SELECT a.id, a.credits_balance FROM user_account a
    WHERE a.id = (SELECT user_id FROM payer)
    FOR UPDATE
),
owner AS (
    SELECT
        account.id::text AS name,
        CASE WHEN worker_bills THEN credits_balance > 0 ELSE $5::int4 <= 0 OR credits_balance >= $5::int4 END AS solvent
    FROM account, moment
    UNION ALL
    SELECT CASE WHEN worker_bills THEN 'admin' ELSE 'mcp_user' END, true FROM moment WHERE $4::text IS NULL
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
-- The plan of an earlier call with the same request id. A call that runs at the same time is not visible here: then the
-- insert below does nothing, and find_created.sql finds the plan.
earlier AS (
    SELECT
        t.timestamp_created AS created_at,
        coalesce(t.prompt = $2::text, false) AS same_prompt,
        coalesce(t.parameters ->> $10::text = $3::text, false) AS same_detail
    FROM task_item t, request
    WHERE t.id = request.id AND t.user_id = request.name
),
-- The plan of an earlier claim of the same prompt, when it was stopped, failed or removed. A claim that is visible here
-- was written together with its plan: only a removed plan can be missing.
ended AS ( --[nonces]
    SELECT (n.context ->> 'task_id')::uuid AS task_id --[nonces]
    FROM nonces n, request --[nonces]
    WHERE n.nonce_key = claim_key AND NOT EXISTS ( --[nonces]
        SELECT FROM task_item t --[nonces]
        WHERE t.id = (n.context ->> 'task_id')::uuid AND ( --[nonces]
            t.state = 'completed' AND $10::text = 'speed_vs_detail' --[nonces]
            OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE)) --[nonces]
), --[nonces]
-- The same prompt again takes the row of the first call: it waits for that call to end and then sees its plan.
claim AS (
    INSERT INTO nonces AS n (nonce_key, created_at, last_accessed_at, request_count, context) --[nonces]
    SELECT claim_key, at, at, 1, json_build_object('task_id', request.id) --[nonces]
    FROM request, moment --[nonces]
    WHERE solvent AND claim_key IS NOT NULL --[nonces]
    ON CONFLICT (nonce_key) DO UPDATE SET --[nonces]
        last_accessed_at = excluded.last_accessed_at, --[nonces]
        request_count = n.request_count + 1, --[nonces]
        (created_at, context) = ( --[nonces]
            SELECT --[nonces]
                CASE WHEN is_live THEN n.created_at ELSE excluded.created_at END, --[nonces]
                CASE WHEN is_live THEN n.context ELSE excluded.context END --[nonces]
            FROM (SELECT n.created_at > excluded.created_at - make_interval(secs => $7::float8) --[nonces]
                AND (n.context ->> 'task_id')::uuid IS DISTINCT FROM (SELECT task_id FROM ended) AS is_live) live) --[nonces]
    RETURNING (context ->> 'task_id')::uuid AS task_id, created_at --[nonces]
    --[no nonces] SELECT t.id AS task_id, t.timestamp_created AS created_at
    --[no nonces] FROM task_item t, request, moment
    --[no nonces] WHERE claim_key IS NOT NULL AND t.user_id = name AND t.prompt = $2::text
    --[no nonces]     AND t.parameters ->> $10::text = $3::text AND t.timestamp_created > at - make_interval(secs => $7::float8)
    --[no nonces]     AND (t.state = 'completed' AND $10::text = 'speed_vs_detail'
    --[no nonces]         OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE)
    --[no nonces] ORDER BY t.timestamp_created DESC LIMIT 1
),
task AS (
    INSERT INTO task_item (
        id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage, stop_requested, user_id,
        --[plans] api_key_id,
        parameters
    )
    SELECT
        request.id, at, at, 'pending', $2::text, 0, false, name,
        --[plans] (SELECT id FROM payer)::text,
        CASE WHEN worker_bills THEN (
            '{"model_profile": "baseline", "trigger_source": "mcp task_create", "pipeline_version": 2}'::jsonb || $9::text::jsonb
        )::json ELSE $9::text::json END
    FROM request, moment
    WHERE solvent AND NOT EXISTS (SELECT FROM claim WHERE claim.task_id <> request.id)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, user_id, parameters
),
event AS (
    INSERT INTO events ("timestamp", event_type, message, context)
    SELECT at, 'TASK_PENDING', 'Enqueued task via MCP', json_build_object(
        'task_id', task.id, --[task_item]
        --[plans] 'plan_id', task.id, 'api_key_id', (SELECT id FROM payer),
        'task_handle', task.id, 'prompt', $2::text, 'user_id', task.user_id,
        'config', $11::text::json, 'metadata', NULL, 'parameters', task.parameters)
    FROM task, moment
),
charge AS (
    UPDATE user_account a SET credits_balance = a.credits_balance - $5::int4, updated_at = at
    FROM task, moment
    WHERE a.id = (SELECT id FROM account) AND $5::int4 > 0 AND NOT worker_bills
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
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    EXISTS (SELECT FROM owner) AS payer_known,
    EXISTS (SELECT FROM task) AS created,
    coalesce((SELECT task_id FROM claim), (SELECT id FROM request))::text AS id,
    to_char(CASE WHEN EXISTS (SELECT FROM task) THEN at
            ELSE coalesce((SELECT created_at FROM claim), (SELECT created_at FROM earlier)) END,
        'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    coalesce((SELECT same_prompt FROM earlier), true) AS same_prompt,
    coalesce((SELECT same_detail FROM earlier), true) AS same_detail,
    ((SELECT credits_balance FROM account) - CASE WHEN EXISTS (SELECT FROM charge) THEN $5::int4 ELSE 0 END)::text AS balance,
    worker_bills
FROM moment
