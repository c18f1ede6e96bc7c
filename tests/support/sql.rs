//! The database of an application: questions to it, and rows as PlanExe's own services would have made them.

use planexe_local::schema::Generation;
use planexe_mcp::auth::user_key_hash;
use serde_json::Value;
use tokio_postgres::{Client, NoTls, types::ToSql};

use super::{Schema, TestApp, eventually};

/// Opens a connection; none while the server takes no more.
pub async fn connect(url: &str) -> Option<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// A user with a key.
pub struct User {
    /// The id of the account.
    pub id: String,
    /// The key.
    pub key: String,
}

impl TestApp {
    /// Runs a statement that returns nothing. It has February's names, as all statements of tests have.
    pub async fn execute(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        let done = self.sql.execute(&self.schema().sql(statement), parameters).await;
        done.expect("a valid statement")
    }

    /// The one text value of a query.
    pub async fn value(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Option<String> {
        let row = self.sql.query_one(&self.schema().sql(statement), parameters).await;
        row.expect("one row").get(0)
    }

    /// The rows of a query as a JSON array of objects.
    pub async fn rows(&self, query: &str) -> Value {
        let statement = format!("SELECT coalesce(json_agg(row_to_json(q)), '[]')::text FROM ({query}) q");
        serde_json::from_str(&self.value(&statement, &[]).await.expect("JSON")).expect("JSON")
    }

    /// How many rows a table has, perhaps with a condition.
    pub async fn count(&self, table: &str) -> i64 {
        let count = self.value(&format!("SELECT count(*)::text FROM {table}"), &[]).await;
        count.expect("a count").parse().expect("a number")
    }

    /// How many connections the component has of which this condition of `pg_stat_activity` holds.
    pub async fn connections(&self, condition: &str) -> i64 {
        let own = "datname = current_database() AND application_name = 'planexe-mcp'";
        self.count(&format!("pg_stat_activity WHERE {own} AND {condition}"))
            .await
    }

    /// Waits until no statement of the component runs any more.
    pub async fn until_idle(&self) {
        let is_idle = async || self.connections("state <> 'idle'").await == 0;
        eventually("all connections are idle", is_idle).await;
    }

    /// Waits until a task is in one of these database states.
    pub async fn wait_for(&self, id: &str, states: &[&str]) {
        let query = "SELECT state::text FROM task_item WHERE id = $1::text::uuid";
        let is_reached = async || {
            let state = self.value(query, &[&id]).await;
            states.iter().any(|wanted| state.as_deref() == Some(*wanted))
        };
        eventually("the state of the task", is_reached).await;
    }

    /// A completed task that is not stored: the worker still has its files.
    pub async fn completed_at_worker(&self, files: &[(&str, &[u8])]) -> String {
        let id = self.create("p").await;
        let name = |name| {
            if name == Generation::Feb.report() {
                self.report()
            } else {
                name
            }
        };
        let files = files.iter().map(|(file, content)| (name(*file), content));
        self.worker.add_files(&id, files);
        self.execute("UPDATE task_item SET state = 'completed'", &[]).await;
        id
    }

    /// The name of the report among the files of a run.
    pub fn report(&self) -> &'static str {
        self.schema().generation().report()
    }

    /// Completes all tasks with this archive in the database, as PlanExe's worker does it at 2026-01-31 12:00.
    pub async fn complete_with_zip(&self, zip: &[u8]) {
        let more = match self.schema().generation() {
            Generation::Feb => "",
            Generation::May => {
                ", run_artifact_layout_version = 2, progress_percentage = 100, progress_message = 'Completed', \
                 steps_completed = 125, steps_total = 125, current_step = 'Completed', \
                 last_progress_at = '2026-01-31 12:00'"
            }
        };
        let complete = format!(
            "UPDATE task_item SET state = 'completed', run_zip_snapshot = $1, timestamp_created = '2026-01-31 11:45'{more}"
        );
        self.execute(&complete, &[&zip]).await;
        let event = "INSERT INTO events (timestamp, event_type, message, context) SELECT '2026-01-31 12:00', \
                     'TASK_COMPLETED', 'Processing -> Completed', json_build_object('task_id', id::text) FROM task_item";
        self.execute(event, &[]).await;
    }

    /// Writes an event of PlanExe's worker about a task, so many seconds ago.
    pub async fn event(&self, id: &str, kind: &str, seconds_ago: f64, reason: Option<&str>) {
        let event = "INSERT INTO events (timestamp, event_type, message, context) SELECT \
             now() AT TIME ZONE 'UTC' - make_interval(secs => $2), $3::text::eventtype, 'Processing -> …', \
             json_strip_nulls(json_build_object('task_id', $1::text, 'WORKER_ID', '1', 'machai_error_message', $4::text))";
        self.execute(event, &[&id, &seconds_ago, &kind, &reason]).await;
    }

    /// Makes a user with this balance and one key.
    pub async fn user(&self, name: &str, balance: impl Into<f64>) -> User {
        let id = "SELECT gen_random_uuid()::text";
        let id = self.value(id, &[]).await.expect("an id");
        self.execute(
            "INSERT INTO user_account (id, created_at, is_admin, free_plan_used, credits_balance) \
             VALUES ($1::text::uuid, now() AT TIME ZONE 'UTC', false, false, $2::float8)",
            &[&id, &balance.into()],
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

    /// A user's balance, in whole credits.
    pub async fn balance(&self, user: &User) -> i64 {
        let query = "SELECT trim_scale(credits_balance::numeric)::text FROM user_account WHERE id = $1::text::uuid";
        let balance = self.value(query, &[&user.id]).await.expect("an account");
        balance.parse().expect("a number")
    }

    /// What the server takes of a user for plans of this price: nothing where PlanExe's worker bills.
    pub fn charge(&self, price: i64) -> i64 {
        if self.schema() == Schema::February { price } else { 0 }
    }

    /// What must hold at any time: each task has its event, no balance has lost anything but its charges; in February's
    /// database each task of a user has its charge and each charge its task, and in others the server charges nothing.
    pub async fn assert_books_balance(&self, price: i64) {
        let uncharged = match self.schema() {
            Schema::February => "1 <> (SELECT count(*) FROM credit_history c WHERE c.external_id = t.id::text)",
            _ => "false",
        };
        let charged = match self.schema() {
            Schema::February => "t.id::text = c.external_id AND c.user_id::text = t.user_id",
            _ => "false",
        };
        let strays = self
            .rows(&format!(
                "SELECT 'task without event' AS what, t.id::text FROM task_item t WHERE NOT EXISTS ( \
                     SELECT FROM events e WHERE t.id::text IN (e.context ->> 'task_id', e.context ->> 'plan_id')) \
                 UNION ALL SELECT 'event without task', e.id::text FROM events e \
                     WHERE e.event_type <> 'GENERIC_EVENT' AND NOT EXISTS ( \
                     SELECT FROM task_item t WHERE t.id::text IN (e.context ->> 'task_id', e.context ->> 'plan_id')) \
                 UNION ALL SELECT 'task without charge', t.id::text FROM task_item t \
                     WHERE t.user_id <> 'mcp_user' AND {uncharged} \
                 UNION ALL SELECT 'charge without task', c.id::text FROM credit_history c \
                     WHERE c.source = 'mcp' AND NOT EXISTS (SELECT FROM task_item t WHERE {charged}) \
                 UNION ALL SELECT 'negative balance', a.id::text FROM user_account a WHERE a.credits_balance < 0",
            ))
            .await;
        assert_eq!(strays, serde_json::json!([]));
        let wrong = format!("credit_history WHERE source = 'mcp' AND delta <> -{price}");
        assert_eq!(self.count(&wrong).await, 0);
    }
}
