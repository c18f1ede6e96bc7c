//! Users of PlanExe, as its web frontend would have made them.

use planexe_mcp::auth::user_key_hash;

use super::Stage;

/// A user with a key.
pub struct User {
    /// The id of the account.
    pub id: String,
    /// The key.
    pub key: String,
}

impl Stage {
    /// Makes a user with this balance and one key.
    pub async fn user(&self, name: &str, balance: i32) -> User {
        let id = "SELECT gen_random_uuid()::text";
        let id = self.value(id, &[]).await.expect("an id");
        self.execute(
            "INSERT INTO user_account (id, created_at, is_admin, free_plan_used, credits_balance) \
             VALUES ($1::text::uuid, now() AT TIME ZONE 'UTC', false, false, $2)",
            &[&id, &balance],
        )
        .await;
        let key = format!("pex_{name}");
        self.add_key(&id, &key).await;
        User { id, key }
    }

    /// Gives a user one more key.
    pub async fn add_key(&self, user: &str, key: &str) {
        let hash = user_key_hash(key, "dev-api-key-secret");
        self.execute(
            "INSERT INTO user_api_key (id, user_id, key_hash, key_prefix, created_at) \
             VALUES (gen_random_uuid(), $1::text::uuid, $2, 'pex', now() AT TIME ZONE 'UTC')",
            &[&user, &hash],
        )
        .await;
    }

    /// A user's balance.
    pub async fn balance(&self, user: &User) -> i64 {
        let query = "SELECT credits_balance::text FROM user_account WHERE id = $1::text::uuid";
        let balance = self.value(query, &[&user.id]).await.expect("an account");
        balance.parse().expect("a number")
    }

    /// What must hold at any time: each task has its event, each task of a user its charge, each charge its task, and
    /// no balance has lost anything but its charges.
    pub async fn assert_books_balance(&self, price: i64) {
        let strays = self
            .rows(
                "SELECT 'task without event' AS what, t.id::text FROM task_item t WHERE NOT EXISTS ( \
                     SELECT FROM events e WHERE e.context ->> 'task_id' = t.id::text) \
                 UNION ALL SELECT 'event without task', e.id::text FROM events e \
                     WHERE e.event_type <> 'GENERIC_EVENT' AND NOT EXISTS ( \
                     SELECT FROM task_item t WHERE e.context ->> 'task_id' = t.id::text) \
                 UNION ALL SELECT 'task without charge', t.id::text FROM task_item t \
                     WHERE t.user_id <> 'mcp_user' AND 1 <> ( \
                     SELECT count(*) FROM credit_history c WHERE c.external_id = t.id::text) \
                 UNION ALL SELECT 'charge without task', c.id::text FROM credit_history c \
                     WHERE c.source = 'mcp' AND NOT EXISTS ( \
                     SELECT FROM task_item t WHERE c.external_id = t.id::text AND c.user_id::text = t.user_id) \
                 UNION ALL SELECT 'negative balance', a.id::text FROM user_account a WHERE a.credits_balance < 0",
            )
            .await;
        assert_eq!(strays, serde_json::json!([]));
        let wrong = format!("credit_history WHERE source = 'mcp' AND delta <> -{price}");
        assert_eq!(self.count(&wrong).await, 0);
    }
}
