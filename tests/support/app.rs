//! The application of a test: a database, a worker, and a process of its own that serves it.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    io,
    net::SocketAddr,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{Method, Request, Response, Uri, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use planexe_local::{
    cluster::Cluster,
    worker::{Worker, WorkerOptions},
};
use serde_json::{Value, json};
use tokio_postgres::{
    NoTls, Row,
    types::{ToSql, Type},
};

use super::{
    cluster, eventually,
    process::{Process, runtime_config},
};

/// The body of a request or response. It streams.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Sends each request on a connection of its own.
static CLIENT: LazyLock<Client<HttpConnector, Body>> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    // What a test does not read stays with the server.
    connector.set_recv_buffer_size(Some(64 * 1024));
    Client::builder(TokioExecutor::new())
        .pool_max_idle_per_host(0)
        .build(connector)
});

/// Starts an application.
pub struct AppBuilder {
    settings: BTreeMap<String, OsString>,
    runtime_config: PathBuf,
    options: Vec<String>,
    working: bool,
    serve: Option<PathBuf>,
}

impl AppBuilder {
    /// Users have keys; the operator's is `secret`.
    pub fn with_users(self) -> Self {
        self.with_key().set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
    }

    /// The API key `secret`.
    pub fn with_key(self) -> Self {
        self.set("PLANEXE_MCP_API_KEY", "secret")
    }

    /// An environment variable, as an operator sets it.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.insert(name.to_owned(), value.into());
        self
    }

    /// An environment variable that cannot be read: its value is no Unicode.
    pub fn set_unreadable(mut self, name: &str) -> Self {
        self.settings
            .insert(name.to_owned(), OsStr::from_bytes(&[0xFF]).to_owned());
        self
    }

    /// Another runtime configuration than that of the project.
    pub fn runtime_config(mut self, file: PathBuf) -> Self {
        self.runtime_config = file;
        self
    }

    /// A new instance for each request.
    pub fn without_reuse(mut self) -> Self {
        self.options = ["--max-instance-reuse-count", "1"].map(str::to_owned).to_vec();
        self
    }

    /// The worker claims tasks and runs them. Otherwise it only serves files.
    pub fn working(mut self) -> Self {
        self.working = true;
        self
    }

    /// The worker serves a real run in place of a sample.
    pub fn serving(mut self, run: PathBuf) -> Self {
        self.serve = Some(run);
        self
    }

    /// Starts it.
    pub async fn build(self) -> TestApp {
        self.on(cluster().await).await
    }

    /// Starts it with its database in this cluster.
    pub async fn on(mut self, cluster: &Cluster) -> TestApp {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("test_{}", NUMBER.fetch_add(1, Relaxed));
        let created = cluster.create_database(&database, Some("planexe_template")).await;
        created.expect("a database");
        let url = cluster.url(&database);
        let mut options = WorkerOptions::new(&url);
        options.step = Duration::from_millis(5);
        options.poll = Duration::from_millis(20);
        options.claim = self.working;
        options.serve = self.serve;
        let worker = Worker::start(options).await.expect("a worker");
        for (name, value) in [
            ("PLANEXE_POSTGRES_HOST", "127.0.0.1"),
            ("PLANEXE_POSTGRES_PORT", &cluster.port().to_string()),
            ("PLANEXE_POSTGRES_DB", &database),
            ("PLANEXE_WORKER_PLAN_URL", &worker.url()),
            // Most tests create the same prompt more than once.
            ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "0"),
        ] {
            self.settings.entry(name.to_owned()).or_insert_with(|| value.into());
        }
        let start = move || Process::start(&self.settings, &self.runtime_config, &self.options);
        let process = tokio::task::spawn_blocking(start).await.expect("a process");
        TestApp {
            worker,
            process,
            client: connect(&url).await.expect("a connection"),
            database,
            url,
            empty_500: AtomicU32::new(0),
        }
    }
}

async fn connect(url: &str) -> Option<tokio_postgres::Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.ok()?;
    tokio::spawn(connection);
    Some(client)
}

/// A running application. At its end it must not have trapped.
pub struct TestApp {
    /// The worker.
    pub worker: Worker,
    /// The process that serves it.
    pub process: Process,
    client: tokio_postgres::Client,
    database: String,
    url: String,
    /// Responses with status 500 and no body: the host's own, after a trap.
    empty_500: AtomicU32,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.process.kill();
        if !std::thread::panicking() {
            let empty = self.empty_500.load(Relaxed);
            assert!(
                empty == 0,
                "{empty} responses have status 500 and no body: {}",
                self.log()
            );
            assert_eq!(self.process.crash(), None, "the component or the host has failed");
        }
    }
}

impl TestApp {
    /// With the default settings.
    pub fn builder() -> AppBuilder {
        AppBuilder {
            settings: BTreeMap::new(),
            runtime_config: runtime_config(),
            options: Vec::new(),
            working: false,
            serve: None,
        }
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// Sends a request and reads the whole response.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        self.try_send(request).await.expect("a response")
    }

    /// The same where the connection may break before the response.
    pub async fn try_send(&self, request: Request<Bytes>) -> Result<Answer, Error> {
        let (parts, body) = self.try_begin(streamed(request)).await?.into_parts();
        let body = body.collect().await.map(|body| body.to_bytes());
        if parts.status == 500 && body.as_ref().is_ok_and(Bytes::is_empty) {
            self.empty_500.fetch_add(1, Relaxed);
        }
        let body = body.map_err(|error| error.to_string());
        Ok(Answer { parts, body })
    }

    /// Sends a request and returns as soon as the response begins.
    pub async fn begin(&self, request: Request<Bytes>) -> Response<Body> {
        self.try_begin(streamed(request)).await.expect("a response")
    }

    /// The same with any body, where the connection may break before the response.
    pub async fn try_begin(&self, mut request: Request<Body>) -> Result<Response<Body>, Error> {
        let path = request.uri().path_and_query().expect("a path").clone();
        let uri = Uri::builder().scheme("http").authority(self.address().to_string());
        *request.uri_mut() = uri.path_and_query(path).build().expect("a URI");
        let response = CLIENT.request(request).await?;
        Ok(response.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }

    /// `GET` without a key.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[], Bytes::new())).await
    }

    /// `GET` with the key `secret`.
    pub async fn get_with_key(&self, path: &str) -> Answer {
        self.send(request(Method::GET, path, &[("x-api-key", "secret")], Bytes::new()))
            .await
    }

    /// Posts JSON with the key `secret`, which open servers ignore.
    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json"), ("x-api-key", "secret")];
        self.send(request(Method::POST, path, &headers, body.to_string().into()))
            .await
    }

    /// Calls a tool over MCP; its `structuredContent`.
    pub async fn tool(&self, name: &str, arguments: Value) -> Value {
        self.tool_as("secret", name, arguments).await
    }

    /// Calls a tool over MCP with another key.
    pub async fn tool_as(&self, key: &str, name: &str, arguments: Value) -> Value {
        let answer = self.send(tool_call(key, name, &arguments)).await;
        assert_eq!(answer.status(), 200, "{}", answer.text());
        let result = answer.json()["result"].clone();
        let content = result["structuredContent"].clone();
        let text = result["content"][0]["text"].as_str().expect("a text block");
        let text: Value = serde_json::from_str(text).expect("the text is JSON");
        assert_eq!(text, content, "the text block says the same");
        assert_eq!(result["isError"], json!(content.get("error").is_some()));
        content
    }

    /// Creates a task; its id.
    pub async fn create(&self, prompt: &str) -> String {
        let created = self.tool("task_create", json!({ "prompt": prompt })).await;
        let id = created["task_id"].as_str();
        id.unwrap_or_else(|| panic!("no task: {created}")).to_owned()
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
        self.worker.add_files(&id, files.iter().copied());
        self.execute("UPDATE task_item SET state = 'completed'", &[]).await;
        id
    }

    /// Completes all tasks with this archive in the database, as PlanExe's worker does it at 2026-01-31 12:00.
    pub async fn complete_with_zip(&self, zip: &[u8]) {
        self.execute(
            "UPDATE task_item SET state = 'completed', run_zip_snapshot = $1, timestamp_created = '2026-01-31 11:45'",
            &[&zip],
        )
        .await;
        self.execute(
            "INSERT INTO events (timestamp, event_type, message, context) SELECT '2026-01-31 12:00', 'TASK_COMPLETED', \
             'Processing -> Completed', json_build_object('task_id', id::text) FROM task_item",
            &[],
        )
        .await;
    }

    /// Writes an event of PlanExe's worker about a task, so many seconds ago.
    pub async fn event(&self, id: &str, kind: &str, seconds_ago: f64, reason: Option<&str>) {
        self.execute(
            "INSERT INTO events (timestamp, event_type, message, context) SELECT \
             now() AT TIME ZONE 'UTC' - make_interval(secs => $2), $3::text::eventtype, 'Processing -> …', \
             json_strip_nulls(json_build_object('task_id', $1::text, 'WORKER_ID', '1', 'machai_error_message', $4::text))",
            &[&id, &seconds_ago, &kind, &reason],
        )
        .await;
    }

    /// Writes the row of a worker that reported so many seconds ago.
    pub async fn heartbeat(&self, worker: &str, task: Option<&str>, seconds_ago: f64) {
        self.execute(
            "INSERT INTO workers (id, started_at, last_heartbeat_at, current_task_id) SELECT $1, at, at, $2 \
             FROM (SELECT now() AT TIME ZONE 'UTC' - make_interval(secs => $3) AS at) now \
             ON CONFLICT (id) DO UPDATE SET last_heartbeat_at = excluded.last_heartbeat_at, \
             current_task_id = excluded.current_task_id",
            &[&worker, &task, &seconds_ago],
        )
        .await;
    }

    /// One more connection to the database; none while it takes no more.
    pub async fn connect(&self) -> Option<tokio_postgres::Client> {
        connect(&self.url).await
    }

    /// Runs statements that return nothing.
    pub async fn execute(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        let done = self.client.execute(statement, parameters).await;
        done.expect("a valid statement")
    }

    /// The types of a statement's parameters.
    pub async fn parameter_types(&self, statement: &str) -> Vec<Type> {
        let prepared = self.client.prepare(statement).await.expect("a valid statement");
        prepared.params().to_vec()
    }

    /// The rows of a statement.
    pub async fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        let rows = self.client.query(statement, parameters).await;
        rows.unwrap_or_else(|error| panic!("{error}: {statement}"))
    }

    /// The one text value of a query.
    pub async fn value(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Option<String> {
        let row = self.client.query_one(statement, parameters).await;
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

    /// How many connections the component has to the database, in these states of `pg_stat_activity`.
    pub async fn connections(&self, condition: &str) -> i64 {
        let connections = "pg_stat_activity WHERE datname = current_database() AND application_name = 'planexe-mcp'";
        self.count(&format!("{connections} AND {condition}")).await
    }

    /// Waits until no statement of the component runs any more.
    pub async fn until_idle(&self) {
        eventually("all connections idle", async || {
            self.connections("state <> 'idle'").await == 0
        })
        .await;
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the component and its host have written to standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The log of the component, once it has so many lines. The line of a streamed response comes after its last byte.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        let lines = || {
            self.log()
                .lines()
                .filter(|line| line.starts_with('{'))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        eventually("the lines of the log", async || lines().len() >= count).await;
        let lines = lines().into_iter();
        lines
            .map(|line| serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}")))
            .collect()
    }

    /// The line of the log about a request.
    pub async fn log_of(&self, answer: &Answer) -> Value {
        let id = json!(answer.header("x-request-id"));
        let mut count = 1;
        loop {
            let lines = self.log_lines(count).await;
            count = lines.len() + 1;
            if let Some(line) = lines.into_iter().find(|line| line["request_id"] == id) {
                return line;
            }
        }
    }
}

/// The request that calls a tool over MCP.
pub fn tool_call(key: &str, name: &str, arguments: &Value) -> Request<Bytes> {
    let params = json!({ "name": name, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let headers = [("content-type", "application/json"), ("x-api-key", key)];
    request(Method::POST, "/mcp", &headers, body.to_string().into())
}

/// The request as it is sent: in chunks where no length is announced.
fn streamed(request: Request<Bytes>) -> Request<Body> {
    let has_length = request.headers().contains_key(CONTENT_LENGTH);
    request.map(|bytes| {
        if has_length || bytes.is_empty() {
            return Full::new(bytes).map_err(|never| match never {}).boxed_unsync();
        }
        StreamBody::new(stream::iter([Ok(Frame::data(bytes))])).boxed_unsync()
    })
}

/// A request.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Bytes> {
    let mut request = Request::builder().method(method).uri(path);
    request = request.header("host", "test.local:3000");
    if !body.is_empty() {
        request = request.header("content-length", body.len());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a valid request")
}

/// A response, read whole.
pub struct Answer {
    parts: http::response::Parts,
    /// The bytes, or why they ended early.
    pub body: Result<Bytes, String>,
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.parts.status.as_u16()
    }

    /// A header's value, blank when it is absent.
    pub fn header(&self, name: &str) -> &str {
        let value = self.parts.headers.get(name);
        value.map_or("", |value| value.to_str().expect("ASCII"))
    }

    /// Whether a header is there.
    pub fn has_header(&self, name: &str) -> bool {
        self.parts.headers.contains_key(name)
    }

    /// The body.
    pub fn bytes(&self) -> &Bytes {
        self.body.as_ref().expect("a complete body")
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(self.bytes()).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}
