//! The task queue in the database: claim, report, finish. Outlives every outage of the database.
//!
//! Knows nothing of files and of what a plan is made of.

use super::say;
use anyhow::{Context, Error, Result, anyhow};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Config, NoTls, Row};

const CLAIM: &str = include_str!("claim.sql");

const PROGRESS: &str = "
UPDATE task_item
SET progress_percentage = $2::float8::numeric(5,2),
    progress_message = $3,
    last_seen_timestamp = timezone('utc', now())
WHERE id = $1::text::uuid AND state = 'processing' AND stop_requested IS NOT TRUE
RETURNING 1";

const STOP_REQUESTED: &str =
    "SELECT 1 FROM task_item WHERE id = $1::text::uuid AND state = 'processing' AND stop_requested";

const STORE: &str = "
UPDATE task_item
SET generated_report_html = $2, run_zip_snapshot = $3, last_seen_timestamp = timezone('utc', now())
WHERE id = $1::text::uuid AND state = 'processing'";

/// Ends a task and notes it, both or neither, and only once.
const END: &str = "
WITH ended AS (
    UPDATE task_item
    SET state = $2::text::taskstate,
        progress_percentage = CASE $2::text WHEN 'completed' THEN 100 ELSE progress_percentage END,
        progress_message = $3,
        last_seen_timestamp = timezone('utc', now())
    WHERE id = $1::text::uuid AND state = 'processing'
    RETURNING id
)
INSERT INTO events (timestamp, event_type, message, context)
SELECT timezone('utc', now()), $4::text::eventtype, $3, json_build_object('task_id', id::text)
FROM ended";

const PUT_BACK: &str = "
UPDATE task_item
SET state = 'pending', progress_percentage = 0, progress_message = 'Waiting for the worker to come back.'
WHERE id = $1::text::uuid AND state = 'processing' AND stop_requested IS NOT TRUE";

/// Tasks that a worker died over: nobody has touched them for a minute.
const TAKE_UP: &str = "
UPDATE task_item
SET state = (CASE WHEN stop_requested THEN 'failed' ELSE 'pending' END)::taskstate,
    progress_message = CASE WHEN stop_requested THEN 'Stopped by user.' ELSE 'Waiting for the worker.' END,
    progress_percentage = CASE WHEN stop_requested THEN progress_percentage ELSE 0 END
WHERE state = 'processing' AND last_seen_timestamp < timezone('utc', now()) - interval '1 minute'";

/// One query and its answer.
const QUERY_LIMIT: Duration = Duration::from_secs(10);
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
/// Between two attempts during an outage.
const RETRY: Duration = Duration::from_millis(500);
/// To give a task back while stopping.
const FAREWELL: Duration = Duration::from_secs(1);

/// A claimed task.
#[derive(Debug)]
pub(super) struct Task {
    /// Its id, a UUID.
    pub(super) id: String,
    /// What the user asked for.
    pub(super) prompt: String,
    /// The stored value of `speed_vs_detail`.
    pub(super) speed: Option<String>,
    /// Whether the column that a worker needs was filled.
    pub(super) has_last_seen: bool,
}

/// Why the work ends without an answer of the database.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Halt {
    /// The worker is to stop.
    Stopping,
    /// The database answered with an error that trying again does not cure.
    Refused(String),
}

/// What to do after a step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    Go,
    StopRequested,
    /// The task is no longer this worker's.
    Gone,
}

/// The queue, with its own connection.
pub(super) struct Queue {
    config: Config,
    claim_note: String,
    client: Option<Client>,
    stopping: watch::Receiver<bool>,
    in_outage: bool,
}

impl Queue {
    /// A queue that connects when it is first used.
    pub(super) fn new(url: &str, stopping: watch::Receiver<bool>) -> Result<Self> {
        Ok(Self {
            config: config(url)?,
            claim_note: format!("Starting (sample worker {})", uuid::Uuid::new_v4().simple()),
            client: None,
            stopping,
            in_outage: false,
        })
    }

    /// The oldest waiting task, from now on this worker's.
    pub(super) async fn claim(&mut self) -> Result<Option<Task>, Halt> {
        let note = self.claim_note.clone();
        let rows = self.query(CLAIM, &[&note]).await?;
        Ok(rows.first().and_then(|row| {
            Some(Task {
                id: row.try_get(0).ok()?,
                prompt: row.try_get(1).ok()?,
                speed: row.try_get(2).ok()?,
                has_last_seen: row.try_get(3).ok()?,
            })
        }))
    }

    /// Reports progress, in percent, unless a stop was requested.
    pub(super) async fn progress(&mut self, task: &Task, percentage: f64, message: &str) -> Result<Step, Halt> {
        if !self
            .query(PROGRESS, &[&task.id, &percentage, &message])
            .await?
            .is_empty()
        {
            return Ok(Step::Go);
        }
        let requested = self.query(STOP_REQUESTED, &[&task.id]).await?;
        Ok(if requested.is_empty() {
            Step::Gone
        } else {
            Step::StopRequested
        })
    }

    /// Stores the results of a task.
    pub(super) async fn store(&mut self, task: &Task, report: Option<String>, zip: Vec<u8>) -> Result<(), Halt> {
        self.query(STORE, &[&task.id, &report, &zip]).await.map(drop)
    }

    /// Ends a task well.
    pub(super) async fn complete(&mut self, task: &Task, message: &str) -> Result<(), Halt> {
        self.query(END, &[&task.id, &"completed", &message, &"TASK_COMPLETED"])
            .await
            .map(drop)
    }

    /// Ends a task badly.
    pub(super) async fn fail(&mut self, task: &Task, message: &str) -> Result<(), Halt> {
        self.query(END, &[&task.id, &"failed", &message, &"TASK_FAILED"])
            .await
            .map(drop)
    }

    /// Makes tasks that an earlier worker left in the middle wait again.
    pub(super) async fn take_up_abandoned(&mut self) -> Result<(), Halt> {
        self.query(TAKE_UP, &[]).await.map(drop)
    }

    /// Gives a task back while the worker stops; in vain if the database does not answer at once.
    pub(super) async fn put_back(&mut self, task: &Task) {
        let give_back = async {
            let client = match self.client.take() {
                Some(client) => client,
                None => connect(&self.config).await?,
            };
            anyhow::Ok(client.execute(PUT_BACK, &[&task.id]).await?)
        };
        let _ = timeout(FAREWELL, give_back).await;
    }

    /// Asks until the database answers.
    async fn query(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, Halt> {
        let mut stopping = self.stopping.clone();
        loop {
            let attempt = tokio::select! {
                attempt = self.attempt(sql, values) => attempt,
                _ = stopping.wait_for(|stop| *stop) => return Err(Halt::Stopping),
            };
            match attempt {
                Ok(rows) => {
                    self.in_outage = false;
                    return Ok(rows);
                }
                Err(error) => {
                    if let Some(refusal) = refusal(&error) {
                        return Err(Halt::Refused(refusal));
                    }
                    self.client = None;
                    if !std::mem::replace(&mut self.in_outage, true) {
                        say(&format!("no answer from the database, trying on: {error:#}"));
                    }
                    sleep(RETRY).await;
                }
            }
        }
    }

    async fn attempt(&mut self, sql: &str, values: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>> {
        let client = match self.client.take() {
            Some(client) if !client.is_closed() => client,
            _ => connect(&self.config).await?,
        };
        // Back only after an answer: a query that was given up leaves its connection in the middle of it.
        let rows = timeout(QUERY_LIMIT, client.query(sql, values))
            .await
            .context("the query took too long")?;
        self.client = Some(client);
        Ok(rows?)
    }
}

/// The settings of a connection.
pub(super) fn config(url: &str) -> Result<Config> {
    let mut config: Config = url
        .parse()
        .context("the worker's database address is no Postgres address")?;
    config
        .connect_timeout(CONNECT_LIMIT)
        .application_name("planexe-sample-worker");
    Ok(config)
}

/// A connection of its own.
pub(super) async fn connect(config: &Config) -> Result<Client> {
    let connected = timeout(CONNECT_LIMIT, config.connect(NoTls))
        .await
        .context("connecting took too long")?;
    // As text: a database that lets nobody in is an outage, not a refusal.
    let (client, connection) = connected.map_err(|error| anyhow!("cannot connect: {:#}", Error::from(error)))?;
    // An error of the connection reaches the client as well.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

/// The database's own words when it is there, works, and does not accept this.
fn refusal(error: &anyhow::Error) -> Option<String> {
    let error = error.downcast_ref::<tokio_postgres::Error>()?.as_db_error()?;
    // Outages by SQLSTATE class: connection, transaction rollback, resources, operator, system.
    let is_outage = ["08", "40", "53", "57", "58"]
        .iter()
        .any(|class| error.code().code().starts_with(class));
    (!is_outage).then(|| error.message().to_owned())
}
