//! The worker's statements. Each is a transaction of its own; none is guarded by the state that it expects.

use anyhow::{Context, Result};
use deadpool_postgres::{Manager, Pool};
use std::time::Duration;
use tokio_postgres::{Config, NoTls, Row, types::ToSql};

/// Claims the oldest task that waits: id, prompt, level of detail, user, seconds since its creation.
pub(super) const CLAIM: &str = "
UPDATE task_item
SET state = 'processing', progress_message = 'Picked up by server', progress_percentage = 0
WHERE id = (
    SELECT id FROM task_item WHERE state = 'pending' AND stop_requested IS NOT TRUE
    ORDER BY timestamp_created LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING id::text, coalesce(prompt, 'None'), coalesce(
    substring(coalesce(nullif(parameters ->> 'speed_vs_detail', ''), parameters ->> 'speedvsdetail')
        FROM '^(?:ping_llm|fast_but_skip_details|all_details_but_slow)$'),
    CASE WHEN parameters::jsonb ? 'fast' THEN 'fast_but_skip_details' ELSE 'all_details_but_slow' END
), coalesce(user_id, 'None'),
    extract(epoch FROM timezone('utc', clock_timestamp()) - timestamp_created)::float8::text";

pub(super) const HEARTBEAT: &str = "
INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id)
VALUES ($1, timezone('utc', now()), timezone('utc', now()), $2)
ON CONFLICT (id) DO UPDATE
SET last_heartbeat_at = excluded.last_heartbeat_at, current_task_id = excluded.current_task_id
RETURNING id";

/// Joins two contexts. Each value becomes a string as in Python, and by way of jsonb the text has its blanks as there.
pub(super) const EVENT: &str = "
INSERT INTO events (timestamp, event_type, message, context)
SELECT timezone('utc', now()), $1::text::eventtype, $2, jsonb_object_agg(key,
    CASE jsonb_typeof(value) WHEN 'boolean' THEN initcap(value #>> '{}') ELSE value #>> '{}' END)::text::json
FROM jsonb_each(jsonb_strip_nulls($3::jsonb || $4::jsonb))
RETURNING id";

pub(super) const LOOK: &str = "
SELECT last_seen_timestamp IS NOT NULL, coalesce(stop_requested, false) FROM task_item WHERE id = $1::text::uuid";

pub(super) const PROGRESS: &str = "
UPDATE task_item SET progress_percentage = $2::float8::numeric, progress_message = $3
WHERE id = $1::text::uuid RETURNING id";

pub(super) const STORE: &str = "
UPDATE task_item SET generated_report_html = $2, run_zip_snapshot = $3 WHERE id = $1::text::uuid RETURNING id";

pub(super) const STATE: &str = "
UPDATE task_item SET state = $2::text::taskstate
WHERE id = $1::text::uuid AND state IS DISTINCT FROM $2::text::taskstate RETURNING id";

/// The database, by one connection that is made anew when it was lost.
pub(super) struct Database(Pool);

impl Database {
    /// Connects when it is first used.
    pub(super) fn new(url: &str) -> Result<Self> {
        let config: Result<Config, _> = url.parse();
        let mut config = config.context("the worker's database address is no Postgres address")?;
        config.connect_timeout(Duration::from_secs(5));
        Ok(Self(Pool::builder(Manager::new(config, NoTls)).max_size(1).build()?))
    }

    /// The rows of one statement.
    pub(super) async fn query(&self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let client = self.0.get().await.context("cannot connect")?;
        Ok(client.query(sql, values).await?)
    }
}
