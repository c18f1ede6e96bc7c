-- The user whom a key belongs to.
--
-- $1 hash of the key
--
-- user_id: NULL when no key has this hash, or the key is revoked     is_today: whether the schema is that of today
WITH known AS MATERIALIZED (
    SELECT k.id, k.user_id::text, k.last_used_at FROM user_api_key k
    WHERE k.key_hash = $1::text AND k.revoked_at IS NULL
),
-- A use is recorded once a minute, so that polling writes little. A locked row is being set to this minute already.
used AS (
    UPDATE user_api_key k SET last_used_at = now() AT TIME ZONE 'UTC'
    WHERE k.id = (
        SELECT u.id FROM user_api_key u
        WHERE u.id = (
            SELECT id FROM known
            WHERE last_used_at IS NULL OR last_used_at < now() AT TIME ZONE 'UTC' - interval '1 minute')
        FOR UPDATE SKIP LOCKED)
)
SELECT (SELECT user_id FROM known) AS user_id, to_regclass('plans') IS NOT NULL AS is_today
