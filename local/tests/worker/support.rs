//! A database for each test that notes every write, and a client for the worker's HTTP half.

use anyhow::{Context, Result, bail};
use planexe_local::cluster::{Cluster, ClusterOptions};
use planexe_local::schema::Generation;
use planexe_local::worker::{Worker, WorkerOptions};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::{net::TcpStream, sync::OnceCell, time::sleep};
use tokio_postgres::NoTls;

/// One line for each write of a row, with the transaction that it belongs to.
const JOURNAL: &str = "
CREATE TABLE journal (number serial, transaction text, line text);
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE now_is jsonb := to_jsonb(NEW);
BEGIN
    INSERT INTO journal (transaction, line) VALUES (pg_current_xact_id()::text, CASE TG_TABLE_NAME
        WHEN 'workers' THEN 'heartbeat ' || coalesce(now_is ->> 'current_task_id', '-')
        WHEN 'events' THEN concat_ws(' ', now_is ->> 'event_type', now_is ->> 'message')
        WHEN 'credit_history' THEN concat_ws(' ', now_is ->> 'source', now_is ->> 'reason', now_is ->> 'delta')
        ELSE concat_ws(' ', now_is ->> 'state', to_char((now_is ->> 'progress_percentage')::numeric, 'FM990.00'),
            now_is ->> 'progress_message', now_is ->> 'current_step', now_is ->> 'failure_reason',
            CASE WHEN now_is ->> 'generated_report_html' IS NOT NULL THEN '+report' END,
            CASE WHEN now_is ->> 'run_zip_snapshot' IS NOT NULL THEN '+zip' END) END);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON task_item FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON workers FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON credit_history FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note();";

pub(crate) async fn start_cluster(name: &str) -> Result<Cluster> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut options = ClusterOptions::default();
    options.settings.push(("fsync".to_owned(), "off".to_owned()));
    Cluster::start(&folder, options).await
}

pub(crate) struct Database {
    pub(crate) url: String,
    generation: Generation,
    pub(crate) client: tokio_postgres::Client,
}

impl Database {
    /// One of the shared cluster, which ends with this process. Of May, if its name begins so.
    pub(crate) async fn new(name: &str) -> Result<Self> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        Self::within(CLUSTER.get_or_try_init(|| start_cluster("worker")).await?, name).await
    }

    pub(crate) async fn within(cluster: &Cluster, name: &str) -> Result<Self> {
        cluster.drop_database(name).await?;
        cluster.create_database(name, None).await?;
        let mut database = Self::connect(cluster.url(name)).await?;
        let mut journal = JOURNAL.to_owned();
        if name.starts_with("may") {
            // Tests name February's table.
            journal = journal.replace("ON task_item", "ON plans") + "CREATE VIEW task_item AS SELECT * FROM plans";
            database.generation = Generation::May;
        }
        database
            .execute(&(database.generation.tables().to_owned() + &journal))
            .await?;
        Ok(database)
    }

    pub(crate) async fn connect(url: String) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        let generation = Generation::Feb;
        Ok(Self {
            url,
            client,
            generation,
        })
    }

    pub(crate) async fn execute(&self, statements: &str) -> Result<()> {
        Ok(self.client.batch_execute(statements).await?)
    }

    pub(crate) fn options(&self) -> WorkerOptions {
        let mut options = WorkerOptions::new(&self.url);
        (options.step, options.poll) = (Duration::from_millis(4), Duration::from_millis(20));
        (options.post, options.generation) = (Duration::ZERO, self.generation);
        options
    }

    /// Adds a task as `mcp_cloud` does.
    pub(crate) async fn add(&self, prompt: &str, speed: &str) -> Result<String> {
        let sql = "
            INSERT INTO task_item (id, timestamp_created, state, prompt, progress_percentage, last_seen_timestamp,
                stop_requested, user_id, parameters)
            VALUES (gen_random_uuid(), timezone('utc', clock_timestamp()), 'pending', $1, 0,
                CASE WHEN $1 <> 'unseen' THEN '2026-01-01'::timestamp END, false, 'mcp_user',
                json_build_object('speed_vs_detail', $2::text))
            RETURNING id::text";
        Ok(self.client.query_one(sql, &[&prompt, &speed]).await?.get(0))
    }

    /// An expression has this value, as text.
    pub(crate) async fn is(&self, expression: &str, expected: &str) -> Result<()> {
        assert_eq!(self.one(expression).await?, expected, "{expression}");
        Ok(())
    }

    /// The value of an expression, as text.
    pub(crate) async fn one(&self, expression: &str) -> Result<String> {
        let sql = format!("SELECT coalesce(({expression})::text, 'NULL')");
        Ok(self.client.query_one(&sql, &[]).await?.get(0))
    }

    pub(crate) async fn until(&self, condition: &str) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        while self.one(condition).await? != "true" {
            if Instant::now() > end {
                bail!("never {condition}: {:#?}", self.journal().await?);
            }
            sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits for a line of the journal.
    pub(crate) async fn line(&self, pattern: &str) -> Result<()> {
        let condition = format!("EXISTS (SELECT FROM journal WHERE line LIKE '{pattern}')");
        self.until(&condition).await
    }

    /// Waits until the worker has ended a task and is idle again; the lines of the journal then.
    pub(crate) async fn ended(&self) -> Result<Vec<String>> {
        self.line("TASK_%ED Processing -> %ed").await?;
        let condition = "(SELECT line = 'heartbeat -' FROM journal ORDER BY number DESC LIMIT 1)";
        self.until(condition).await?;
        self.journal().await
    }

    pub(crate) async fn journal(&self) -> Result<Vec<String>> {
        let rows = self
            .client
            .query("SELECT line FROM journal ORDER BY number", &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The context of the first event of this type.
    pub(crate) async fn context(&self, kind: &str) -> Result<Value> {
        let sql = "SELECT context FROM events WHERE event_type = $1::text::eventtype ORDER BY id LIMIT 1";
        Ok(self.client.query_one(sql, &[&kind]).await?.get(0))
    }

    /// The stored archive of the only task.
    pub(crate) async fn zip(&self) -> Result<Vec<(String, String)>> {
        let sql = "SELECT run_zip_snapshot FROM task_item";
        entries(self.client.query_one(sql, &[]).await?.get(0))
    }
}

/// Status, head and body of an answer. A request is a method and a path.
pub(crate) async fn ask(worker: &Worker, request: &str) -> Result<(String, String, Vec<u8>)> {
    let request = format!("{request} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
    let mut stream = TcpStream::connect(worker.address()).await?;
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    let end = answer
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .context("no head")?;
    let body = answer.split_off(end + 4);
    let head = String::from_utf8(answer)?;
    Ok((head.get(9..12).context("no status")?.to_owned(), head, body))
}

/// The status of a run's list of files.
pub(crate) async fn status(worker: &Worker, task: &str) -> Result<String> {
    Ok(ask(worker, &format!("GET /runs/{task}/files")).await?.0)
}

/// Waits until a run's folder is deleted.
pub(crate) async fn gone(worker: &Worker, task: &str) -> Result<()> {
    let end = Instant::now() + Duration::from_secs(60);
    while status(worker, task).await? != "404" {
        assert!(Instant::now() < end, "the folder stays");
    }
    Ok(())
}

/// Names and contents of an archive, in its order.
pub(crate) fn entries(zip: &[u8]) -> Result<Vec<(String, String)>> {
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(zip))?;
    let mut found = Vec::new();
    for at in 0..zip.len() {
        let entry = zip.by_index(at)?;
        found.push((entry.name()?.into_owned(), std::io::read_to_string(entry)?));
    }
    Ok(found)
}
