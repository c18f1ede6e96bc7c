//! A database for each test that notes every write, and a client for the worker's HTTP half.

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{HeaderMap, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use planexe_local::cluster::{Cluster, ClusterOptions, TEMPLATE};
use planexe_local::worker::{Worker, WorkerOptions};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use tokio::time::sleep;
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
        ELSE concat_ws(' ', now_is ->> 'state', to_char((now_is ->> 'progress_percentage')::numeric, 'FM990.00'),
            now_is ->> 'progress_message', CASE WHEN now_is ->> 'generated_report_html' IS NOT NULL THEN '+report' END,
            CASE WHEN now_is ->> 'run_zip_snapshot' IS NOT NULL THEN '+zip' END) END);
    RETURN NULL;
END $$;
CREATE TRIGGER note AFTER UPDATE ON task_item FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT OR UPDATE ON workers FOR EACH ROW EXECUTE FUNCTION note();
CREATE TRIGGER note AFTER INSERT ON events FOR EACH ROW EXECUTE FUNCTION note();";

pub(crate) async fn start_cluster(name: &str) -> Result<Cluster> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut options = ClusterOptions::default();
    options.settings.push(("fsync".to_owned(), "off".to_owned()));
    Cluster::start(&folder, options).await
}

/// One database of the shared cluster, which ends with this process.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) client: tokio_postgres::Client,
}

impl Database {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        Self::within(CLUSTER.get_or_try_init(|| start_cluster("worker")).await?, name).await
    }

    pub(crate) async fn within(cluster: &Cluster, name: &str) -> Result<Self> {
        cluster.drop_database(name).await?;
        cluster.create_database(name, Some(TEMPLATE)).await?;
        let database = Self::connect(cluster.url(name)).await?;
        database.client.batch_execute(JOURNAL).await?;
        Ok(database)
    }

    pub(crate) async fn connect(url: String) -> Result<Self> {
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { url, client })
    }

    pub(crate) fn options(&self) -> WorkerOptions {
        WorkerOptions {
            step: Duration::from_millis(4),
            poll: Duration::from_millis(20),
            post: Duration::ZERO,
            ..WorkerOptions::new(&self.url)
        }
    }

    /// Adds a task as `mcp_cloud` does.
    pub(crate) async fn add(&self, prompt: &str, speed: &str) -> Result<String> {
        let sql = "
            INSERT INTO task_item (id, timestamp_created, state, prompt, progress_percentage, last_seen_timestamp,
                stop_requested, user_id, parameters)
            VALUES (gen_random_uuid(), timezone('utc', clock_timestamp()), 'pending', $1, 0, '2026-01-01', false,
                'mcp_user', json_build_object('speed_vs_detail', $2::text))
            RETURNING id::text";
        Ok(self.client.query_one(sql, &[&prompt, &speed]).await?.get(0))
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
        self.until(&format!("EXISTS (SELECT FROM journal WHERE line LIKE '{pattern}')"))
            .await
    }

    /// Waits until the worker has ended a task and is idle again; the lines of the journal then.
    pub(crate) async fn ended(&self) -> Result<Vec<String>> {
        self.line("TASK_%ED Processing -> %ed").await?;
        self.until("(SELECT line = 'heartbeat -' FROM journal ORDER BY number DESC LIMIT 1)")
            .await?;
        self.journal().await
    }

    pub(crate) async fn journal(&self) -> Result<Vec<String>> {
        let rows = self
            .client
            .query("SELECT line FROM journal ORDER BY number", &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The contexts of all events of this type, the oldest first.
    pub(crate) async fn contexts(&self, kind: &str) -> Result<Vec<Value>> {
        let sql = "SELECT context FROM events WHERE event_type = $1::text::eventtype ORDER BY id";
        let rows = self.client.query(sql, &[&kind]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// `Err` for a body that ended before its time.
    pub(crate) body: Result<Bytes>,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(self.body.as_ref().unwrap()).into_owned()
    }
}

pub(crate) async fn ask(worker: &Worker, method: &str, path: &str, header: Option<(&str, &str)>) -> Result<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let mut request = Request::builder().method(method).uri(worker.url() + path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let (parts, body) = client.request(request.body(Empty::new())?).await?.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes());
    Ok(Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: body.map_err(Into::into),
    })
}

pub(crate) async fn get(worker: &Worker, path: &str) -> Result<Answer> {
    ask(worker, "GET", path, None).await
}
