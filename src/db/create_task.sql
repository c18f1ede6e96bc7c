-- Creates a plan, its event, its charge and its ledger entry, or none of them: one statement is one transaction.
--
-- $1 id for a new plan     $2 prompt                            $3 value of the parameter of $10 that tells plans apart
-- $4 hash of the key of the user who pays, or NULL for the operator                  $5 price in credits
-- $6 the caller's request id, or NULL                           $7 seconds of the repeat window; 0: none
-- $8 salt of derived ids   $9 the plan's parameters, JSON       $10 'speed_vs_detail' or 'model_profile'
-- $11 the parameters as the caller names them, JSON
--
-- Conditions: user: $4 is given     request_id: $6 is given     claim: there is a repeat window and no request id
-- first: a prompt that has a claim is left to the statement without this condition, which takes Postgres twice as long
--
-- payer_known: whether the key of the user who pays is valid     solvent: whether the payer can pay
-- created: whether this call has made the plan
-- same_prompt, same_detail: whether an earlier plan with the same request id has this prompt and this value of $3
-- balance: the payer's credits afterwards, NULL for the operator     worker_bills: whether PlanExe's worker takes them
WITH given AS (
    -- Gives every parameter its type, also where no line uses it.
    SELECT $1::text, $3::text, $4::text, $5::int4, $6::text, $7::float8, $8::text, $10::text
),
moment AS (
    -- Since the table token_metrics, of 10 February 2026, the worker bills what a plan has cost.
    SELECT now() AT TIME ZONE 'UTC' AS at, to_regclass('token_metrics') IS NOT NULL AS worker_bills --[task_item]
    --[plans] SELECT now() AT TIME ZONE 'UTC' AS at, true AS worker_bills
),
payer AS ( --[user]
    SELECT k.id, k.user_id FROM user_api_key k WHERE k.key_hash = $4::text AND k.revoked_at IS NULL --[user]
), --[user]
-- Locked before anything is written, so that calls of one user follow each other and each sees the last balance.
account AS MATERIALIZED ( --[user]
    SELECT a.id, a.credits_balance FROM user_account a --[user]
    WHERE a.id = (SELECT user_id FROM payer) --[user]
    FOR UPDATE --[user]
), --[user]
owner AS (
    SELECT --[user]
        account.id::text AS name, --[user]
        CASE WHEN worker_bills THEN credits_balance > 0 ELSE $5::int4 <= 0 OR credits_balance >= $5::int4 END AS solvent --[user]
    FROM account, moment --[user]
    --[no user] SELECT CASE WHEN worker_bills THEN 'admin' ELSE 'mcp_user' END AS name, true AS solvent FROM moment
),
request AS (
    SELECT
        name,
        solvent,
        -- A request id becomes the primary key, so Postgres keeps it unique. It is the owner's: others may use the same one.
        overlay(overlay( --[request_id]
            left(encode(sha256(convert_to($8::text || E'\nrequest\n' || name || E'\n' || $6::text, 'UTF8')), 'hex'), 32) --[request_id]
            PLACING '8' FROM 13) PLACING '8' FROM 17)::uuid AS id --[request_id]
        --[no request_id] $1::text::uuid AS id
    FROM owner
),
-- The plan of an earlier call with the same request id. A call that runs at the same time is not visible here: then the
-- insert below does nothing, and find_created.sql finds the plan.
earlier AS ( --[request_id]
    SELECT --[request_id]
        t.timestamp_created AS created_at, --[request_id]
        coalesce(t.prompt = $2::text, false) AS same_prompt, --[request_id]
        coalesce(t.parameters ->> $10::text = $3::text, false) AS same_detail --[request_id]
    FROM task_item t, request --[request_id]
    WHERE t.id = request.id AND t.user_id = request.name --[request_id]
), --[request_id]
--[claim, nonces] claimed AS (
--[claim, nonces]     SELECT
--[claim, nonces]         'mcp:' || encode(sha256(convert_to(name || E'\n' || $3::text || E'\n' || $2::text, 'UTF8')), 'hex') AS key
--[claim, nonces]     FROM request
--[claim, nonces] ),
-- The plan of an earlier claim of the same prompt, when it was stopped, failed or removed. A claim that is visible here
-- was written together with its plan: only a removed plan can be missing.
--[claim, nonces, no first] ended AS (
--[claim, nonces, no first]     SELECT (n.context ->> 'task_id')::uuid AS task_id
--[claim, nonces, no first]     FROM nonces n, claimed
--[claim, nonces, no first]     WHERE n.nonce_key = claimed.key AND NOT EXISTS (
--[claim, nonces, no first]         SELECT FROM task_item t
--[claim, nonces, no first]         WHERE t.id = (n.context ->> 'task_id')::uuid AND (
--[claim, nonces, no first]             t.state = 'completed' AND $10::text = 'speed_vs_detail'
--[claim, nonces, no first]             OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE))
--[claim, nonces, no first] ),
-- The same prompt again takes the row of the first call: it waits for that call to end and then sees its plan.
--[claim, nonces] claim AS (
--[claim, nonces]     INSERT INTO nonces AS n (nonce_key, created_at, last_accessed_at, request_count, context)
--[claim, nonces]     SELECT claimed.key, at, at, 1, json_build_object('task_id', request.id)
--[claim, nonces]     FROM request, claimed, moment
--[claim, nonces]     WHERE solvent
--[claim, nonces, first]     ON CONFLICT (nonce_key) DO NOTHING
--[claim, nonces, no first]     ON CONFLICT (nonce_key) DO UPDATE SET
--[claim, nonces, no first]         last_accessed_at = excluded.last_accessed_at,
--[claim, nonces, no first]         request_count = n.request_count + 1,
--[claim, nonces, no first]         (created_at, context) = (
--[claim, nonces, no first]             SELECT
--[claim, nonces, no first]                 CASE WHEN is_live THEN n.created_at ELSE excluded.created_at END,
--[claim, nonces, no first]                 CASE WHEN is_live THEN n.context ELSE excluded.context END
--[claim, nonces, no first]             FROM (SELECT n.created_at > excluded.created_at - make_interval(secs => $7::float8)
--[claim, nonces, no first]                 AND (n.context ->> 'task_id')::uuid IS DISTINCT FROM (SELECT task_id FROM ended) AS is_live) live)
--[claim, nonces]     RETURNING (context ->> 'task_id')::uuid AS task_id, created_at
--[claim, nonces] ),
--[claim, no nonces] claim AS (
--[claim, no nonces]     SELECT t.id AS task_id, t.timestamp_created AS created_at
--[claim, no nonces]     FROM task_item t, request, moment
--[claim, no nonces]     WHERE t.user_id = name AND t.prompt = $2::text AND t.parameters ->> $10::text = $3::text
--[claim, no nonces]         AND t.timestamp_created > at - make_interval(secs => $7::float8)
--[claim, no nonces]         AND (t.state = 'completed' AND $10::text = 'speed_vs_detail'
--[claim, no nonces]             OR t.state IN ('pending', 'processing') AND t.stop_requested IS NOT TRUE)
--[claim, no nonces]     ORDER BY t.timestamp_created DESC LIMIT 1
--[claim, no nonces] ),
task AS (
    INSERT INTO task_item (
        id, timestamp_created, last_seen_timestamp, state, prompt, progress_percentage, stop_requested, user_id,
        --[api_key_id, user] api_key_id,
        parameters
    )
    SELECT
        request.id, at, at, 'pending', $2::text, 0, false, name,
        --[api_key_id, user] (SELECT id FROM payer)::text,
        CASE WHEN worker_bills THEN (
            '{"model_profile": "baseline", "trigger_source": "mcp task_create", "pipeline_version": 2}'::jsonb || $9::text::jsonb
        )::json ELSE $9::text::json END
    FROM request, moment
    WHERE solvent
    --[claim, nonces, first] AND EXISTS (SELECT FROM claim)
    --[claim, nonces, no first] AND NOT EXISTS (SELECT FROM claim WHERE claim.task_id <> request.id)
    --[claim, no nonces] AND NOT EXISTS (SELECT FROM claim)
    ON CONFLICT (id) DO NOTHING
    RETURNING id, user_id, parameters
),
event AS (
    INSERT INTO events ("timestamp", event_type, message, context)
    SELECT at, 'TASK_PENDING', 'Enqueued task via MCP', json_build_object(
        'task_id', task.id, --[task_item]
        --[plans, user] 'plan_id', task.id, 'api_key_id', (SELECT id FROM payer),
        --[plans, no user] 'plan_id', task.id, 'api_key_id', NULL,
        'task_handle', task.id, 'prompt', $2::text, 'user_id', task.user_id,
        'config', $11::text::json, 'metadata', NULL, 'parameters', task.parameters)
    FROM task, moment
),
charge AS ( --[user]
    UPDATE user_account a SET credits_balance = a.credits_balance - $5::int4, updated_at = at --[user]
    FROM task, moment --[user]
    WHERE a.id = (SELECT id FROM account) AND $5::int4 > 0 AND NOT worker_bills --[user]
    RETURNING a.id --[user]
), --[user]
ledger AS ( --[user]
    INSERT INTO credit_history (id, user_id, delta, reason, source, external_id, created_at) --[user]
    SELECT gen_random_uuid(), charge.id, -$5::int4, 'plan_created', 'mcp', task.id::text, at --[user]
    FROM charge, task, moment --[user]
), --[user]
-- No call waits for another one that uses the same key: a locked row is being set to this minute.
used AS ( --[user]
    UPDATE user_api_key k SET last_used_at = at --[user]
    FROM moment --[user]
    WHERE k.id = (SELECT id FROM user_api_key WHERE key_hash = $4::text AND revoked_at IS NULL FOR UPDATE SKIP LOCKED) --[user]
), --[user]
made AS (
    SELECT EXISTS (SELECT FROM task) AS created
)
SELECT
    CASE WHEN to_regclass('plans') IS NOT NULL THEN 'task_item_was_renamed'::text::regclass::text END AS renamed, --[task_item]
    EXISTS (SELECT FROM owner) AS payer_known,
    coalesce((SELECT solvent FROM owner), false) AS solvent,
    created,
    --[claim] coalesce((SELECT task_id FROM claim), (SELECT id FROM request))::text AS id,
    --[no claim] (SELECT id FROM request)::text AS id,
    to_char(
        CASE WHEN created THEN at
            --[claim] ELSE (SELECT created_at FROM claim)
            --[request_id] ELSE (SELECT created_at FROM earlier)
        END,
        'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS created_at,
    --[request_id] coalesce((SELECT same_prompt FROM earlier), true) AS same_prompt,
    --[request_id] coalesce((SELECT same_detail FROM earlier), true) AS same_detail,
    --[no request_id] true AS same_prompt, true AS same_detail,
    --[user] ((SELECT credits_balance FROM account) - CASE WHEN EXISTS (SELECT FROM charge) THEN $5::int4 ELSE 0 END)::text AS balance,
    --[no user] NULL::text AS balance,
    worker_bills
FROM moment, made
