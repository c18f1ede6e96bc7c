//! A database for each test, and a client for the worker's HTTP half.

use anyhow::{Result, bail};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use planexe_local::cluster::{Cluster, ClusterOptions, TEMPLATE};
use planexe_local::worker::{Worker, WorkerOptions};
use std::io::{Cursor, Read};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::sync::OnceCell;
use tokio::time::sleep;
use tokio_postgres::{NoTls, Row};

pub(crate) async fn start_cluster(name: &str) -> Result<Cluster> {
    let settings = vec![("fsync".to_owned(), "off".to_owned())];
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    Cluster::start(
        &folder,
        ClusterOptions {
            settings,
            ..ClusterOptions::default()
        },
    )
    .await
}

/// One database of the shared cluster, which ends with this process.
pub(crate) struct Database {
    pub(crate) url: String,
    pub(crate) client: tokio_postgres::Client,
}

impl Database {
    pub(crate) async fn new(name: &str) -> Result<Self> {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        let cluster = CLUSTER.get_or_try_init(|| start_cluster("worker")).await?;
        Self::in_cluster(cluster, name).await
    }

    pub(crate) async fn in_cluster(cluster: &Cluster, name: &str) -> Result<Self> {
        cluster.drop_database(name).await?;
        cluster.create_database(name, Some(TEMPLATE)).await?;
        let url = cluster.url(name);
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await?;
        tokio::spawn(async move { drop(connection.await) });
        Ok(Self { url, client })
    }

    pub(crate) fn options(&self) -> WorkerOptions {
        WorkerOptions {
            step: Duration::from_millis(10),
            ..WorkerOptions::new(&self.url)
        }
    }

    pub(crate) async fn add(&self, prompt: &str, speed: &str) -> Result<String> {
        let sql =
            "INSERT INTO task_item (id, timestamp_created, state, prompt, progress_percentage, last_seen_timestamp,
                       stop_requested, user_id, parameters)
                   VALUES (gen_random_uuid(), timezone('utc', clock_timestamp()), 'pending', $1, 0,
                       timezone('utc', now()), false, 'mcp_user', json_build_object('speed_vs_detail', $2::text))
                   RETURNING id::text";
        Ok(self.client.query_one(sql, &[&prompt, &speed]).await?.try_get(0)?)
    }

    /// State, message, percentage, `stop_requested`, report, zip.
    pub(crate) async fn task(&self, id: &str) -> Result<Row> {
        let sql = "SELECT state::text, progress_message, progress_percentage::float8, stop_requested,
                       generated_report_html, run_zip_snapshot
                   FROM task_item WHERE id = $1::text::uuid";
        Ok(self.client.query_one(sql, &[&id]).await?)
    }

    /// A worker that takes its time, so that it is met on its way however busy the machine is.
    pub(crate) fn slow(&self) -> WorkerOptions {
        WorkerOptions {
            step: Duration::from_millis(150),
            ..self.options()
        }
    }

    /// A worker that begins an hour after all that has been done, and claims nothing.
    pub(crate) async fn later_worker(&self) -> Result<Worker> {
        let sql = "UPDATE task_item SET last_seen_timestamp = last_seen_timestamp - interval '1 hour'";
        self.client.batch_execute(sql).await?;
        Worker::start(WorkerOptions {
            claim: false,
            ..self.options()
        })
        .await
    }

    /// Waits until a worker is at the task.
    pub(crate) async fn under_way(&self, id: &str) -> Result<Row> {
        self.wait(id, |state, message| state == "processing" && message.contains(" of "))
            .await
    }

    pub(crate) async fn wait(&self, id: &str, done: impl Fn(&str, &str) -> bool) -> Result<Row> {
        let end = Instant::now() + Duration::from_secs(90);
        while Instant::now() < end {
            let row = self.task(id).await?;
            if done(row.get::<_, &str>(0), row.get::<_, Option<&str>>(1).unwrap_or_default()) {
                return Ok(row);
            }
            sleep(Duration::from_millis(5)).await;
        }
        bail!("still {:?}", self.task(id).await?)
    }

    pub(crate) async fn ended(&self, id: &str) -> Result<Row> {
        self.wait(id, |state, _| matches!(state, "completed" | "failed")).await
    }

    pub(crate) async fn events(&self, id: &str) -> Result<Vec<String>> {
        let sql = "SELECT event_type::text FROM events WHERE context ->> 'task_id' = $1 ORDER BY id";
        let rows = self.client.query(sql, &[&id]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) length: Option<u64>,
    pub(crate) kind: String,
    /// `Err` for a body that ended before its time.
    pub(crate) body: Result<Bytes>,
}

impl Answer {
    pub(crate) fn json(self) -> Result<serde_json::Value> {
        Ok(serde_json::from_slice(&self.body?)?)
    }
}

pub(crate) async fn ask(method: &str, url: String) -> Result<Answer> {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let response = client
        .request(Request::builder().method(method).uri(url).body(Empty::new())?)
        .await?;
    let header = |name| {
        response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let (length, kind) = (header("content-length"), header("content-type").unwrap_or_default());
    let length = length.and_then(|text| text.parse().ok());
    let status = response.status();
    let body = response
        .into_body()
        .collect()
        .await
        .map(|body| body.to_bytes())
        .map_err(Into::into);
    Ok(Answer {
        status,
        length,
        kind,
        body,
    })
}

pub(crate) async fn get(worker: &Worker, path: &str) -> Result<Answer> {
    ask("GET", format!("{}{path}", worker.url())).await
}

pub(crate) fn entries(zip: &[u8]) -> Result<Vec<(String, Vec<u8>)>> {
    let mut zip = zip::ZipArchive::new(Cursor::new(zip))?;
    let mut found = Vec::new();
    for at in 0..zip.len() {
        let mut entry = zip.by_index(at)?;
        let mut content = Vec::new();
        entry.read_to_end(&mut content)?;
        found.push((entry.name()?.into_owned(), content));
    }
    Ok(found)
}
