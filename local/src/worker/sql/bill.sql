-- Charges what a plan has cost so far, less what was charged before: as `usage_billing_progress` while it is at work, as
-- `usage_billing` once at its end. Who has no account is charged to an administrator.
WITH payer AS (
    SELECT account.id, $2::text::numeric - charged AS due, charged, coalesce(plan.api_key_id, (
        SELECT key.id::text FROM user_api_key AS key
        WHERE key.user_id = account.id AND revoked_at IS NULL ORDER BY key.created_at LIMIT 1)) AS key
    FROM task_item AS plan
        JOIN user_account AS account ON account.id::text = plan.user_id OR account.is_admin,
        (SELECT coalesce(-sum(delta), 0) AS charged FROM credit_history
            WHERE source = 'usage_billing_progress' AND external_id = $1) AS history
    WHERE plan.id = $1::text::uuid
        AND coalesce(plan.parameters ->> 'billing_skip_usage_charge', 'false') = 'false'
    ORDER BY account.id::text = plan.user_id DESC LIMIT 1
), paid AS (
    UPDATE user_account
    SET credits_balance = credits_balance - greatest(due, 0), updated_at = timezone('utc', now()) FROM payer
    WHERE user_account.id = payer.id AND (due > 0 OR charged > 0 AND $3 = 'usage_billing')
        AND NOT EXISTS (SELECT FROM credit_history
            WHERE $3 = 'usage_billing' AND source = 'usage_billing' AND external_id = $1)
    RETURNING payer.*
)
INSERT INTO credit_history (id, user_id, delta, reason, source, external_id, api_key_id, created_at)
SELECT gen_random_uuid(), id, -greatest(due, 0), $4, $3, $1, key, timezone('utc', now()) FROM paid RETURNING id
