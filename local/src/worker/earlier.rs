//! Runs of earlier workers: this one has no files of them, but the database has their archives.
//!
//! Knows no HTTP and no archive format.

use super::queue;
use anyhow::{Context, Result};
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Config};
use uuid::Uuid;

const ARCHIVE: &str = "
SELECT run_zip_snapshot
FROM task_item
WHERE id = $1 AND state = 'completed' AND last_seen_timestamp < $2::timestamp AND run_zip_snapshot IS NOT NULL";

/// For a look into the database.
const LIMIT: Duration = Duration::from_secs(1);

/// What was completed before this worker began. Copies share one connection.
#[derive(Clone)]
pub(super) struct Earlier {
    database: Config,
    began: String,
    client: Arc<Mutex<Option<Arc<Client>>>>,
}

impl Earlier {
    /// Connects when it is first asked.
    pub(super) fn new(database_url: &str) -> Result<Self> {
        let format = format_description!("[year]-[month]-[day] [hour]:[minute]:[second]");
        Ok(Self {
            database: queue::config(database_url)?,
            began: OffsetDateTime::now_utc()
                .format(format)
                .context("the clock shows no date")?,
            client: Arc::default(),
        })
    }

    /// The archive of a run; `None` also when the database does not answer.
    pub(super) async fn archive(&self, run: &str) -> Option<Vec<u8>> {
        let id: Uuid = run.parse().ok()?;
        let found = timeout(LIMIT, self.look(id)).await;
        if !matches!(found, Ok(Ok(_))) {
            // It may be broken, or go on with what nobody waits for any more.
            *self.client.lock().await = None;
        }
        found.ok()?.ok()?
    }

    async fn look(&self, id: Uuid) -> Result<Option<Vec<u8>>> {
        let client = self.connected().await?;
        let rows = client
            .query_typed(ARCHIVE, &[(&id, Type::UUID), (&self.began, Type::TEXT)])
            .await?;
        Ok(rows.first().map(|row| row.try_get(0)).transpose()?)
    }

    async fn connected(&self) -> Result<Arc<Client>> {
        let mut client = self.client.lock().await;
        if let Some(client) = client.as_ref().filter(|client| !client.is_closed()) {
            return Ok(client.clone());
        }
        let new = Arc::new(queue::connect(&self.database).await?);
        *client = Some(new.clone());
        Ok(new)
    }
}
