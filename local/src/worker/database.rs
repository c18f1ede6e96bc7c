//! The worker's statements. Each is a transaction of its own; none is guarded by the state that it expects.

use crate::schema::Generation;
use anyhow::{Context, Result};
use deadpool_postgres::{Manager, Pool};
use std::time::Duration;
use tokio_postgres::{Config, NoTls, Row, types::ToSql};

pub(super) const CLAIM: &str = include_str!("sql/claim.sql");
pub(super) const HEARTBEAT: &str = include_str!("sql/heartbeat.sql");
pub(super) const EVENT: &str = include_str!("sql/event.sql");
pub(super) const LOOK: &str = "
SELECT last_seen_timestamp IS NOT NULL, coalesce(stop_requested, false) FROM task_item WHERE id = $1::text::uuid";

pub(super) const PROGRESS: &str = "
UPDATE task_item SET progress_percentage = $2::float8::numeric, progress_message = $3
WHERE id = $1::text::uuid RETURNING id";

pub(super) const STEPS: &str = include_str!("sql/steps.sql");
pub(super) const STORE: &str = "
UPDATE task_item SET generated_report_html = $2, run_zip_snapshot = $3 WHERE id = $1::text::uuid RETURNING id";

pub(super) const STORE_ALL: &str = include_str!("sql/store_all.sql");
pub(super) const SNAPSHOT: &str = "UPDATE task_item SET run_zip_snapshot = $2 WHERE id = $1::text::uuid RETURNING id";
pub(super) const STORED: &str = "SELECT run_zip_snapshot FROM task_item WHERE id = $1::text::uuid";

/// The state is a literal: an upgraded database has two types of states, and a cast to the wrong one fails.
pub(super) const STATE: &str = "
UPDATE task_item SET state = '{state}' WHERE id = $1::text::uuid AND state IS DISTINCT FROM '{state}' RETURNING id";

pub(super) const FAILURE: &str = include_str!("sql/failure.sql");
pub(super) const MISMATCH: &str = include_str!("sql/mismatch.sql");
pub(super) const BILL: &str = include_str!("sql/bill.sql");

/// The database, by one connection that is made anew when it was lost.
pub(super) struct Database {
    pool: Pool,
    /// Whose tables it has.
    pub(super) generation: Generation,
}

impl Database {
    /// Connects when it is first used.
    pub(super) fn new(url: &str, generation: Generation) -> Result<Self> {
        let config: Result<Config, _> = url.parse();
        let mut config = config.context("the worker's database address is no Postgres address")?;
        config.connect_timeout(Duration::from_secs(5));
        let pool = Pool::builder(Manager::new(config, NoTls)).max_size(1).build()?;
        Ok(Self { pool, generation })
    }

    /// The rows of one statement.
    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let client = self.pool.get().await.context("cannot connect")?;
        let sql = match self.generation {
            Generation::Feb => sql.to_owned(),
            Generation::May => sql.replace("task_item", "plans"),
        };
        Ok(client.query(&sql, values).await?)
    }
}
