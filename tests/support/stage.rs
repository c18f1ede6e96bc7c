//! The stage of a test: a database, a worker and a host of its own, and the words to use them.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use planexe_local::{
    cluster::Cluster,
    host::{Body, Environment, Host, HostOptions, Output, Reuse, VariableFault},
    worker::{Worker, WorkerOptions},
};
use serde_json::{Value, json};
use tokio_postgres::{
    Client, NoTls, Row,
    types::{ToSql, Type},
};

use super::{cluster, component, manifest};

/// Sets a stage up.
pub struct StageBuilder {
    environment: BTreeMap<String, String>,
    variable_faults: BTreeMap<String, VariableFault>,
    reuse: Reuse,
    working: bool,
    serve: Option<PathBuf>,
    postgres_port: Option<u16>,
}

impl StageBuilder {
    /// The port at which the component finds Postgres: that of a proxy.
    pub fn postgres_at(mut self, port: u16) -> Self {
        self.postgres_port = Some(port);
        self
    }

    /// Users have keys; the operator's is `secret`.
    pub fn with_users(self) -> Self {
        self.with_key().set("PLANEXE_MCP_REQUIRE_USER_KEY", "true")
    }

    /// An environment variable, as an operator sets it.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.environment.insert(name.to_owned(), value.to_owned());
        self
    }

    /// A variable that the component cannot read.
    pub fn faulty(mut self, variable: &str, fault: VariableFault) -> Self {
        self.variable_faults.insert(variable.to_owned(), fault);
        self
    }

    /// The API key `secret`.
    pub fn with_key(self) -> Self {
        self.set("PLANEXE_MCP_API_KEY", "secret")
    }

    /// A new instance for each request.
    pub fn without_reuse(mut self) -> Self {
        self.reuse.max_requests = 1;
        self
    }

    /// The worker claims tasks and runs them. Otherwise it only serves files.
    pub fn working(mut self) -> Self {
        self.working = true;
        self
    }

    /// The worker hands out a real run in place of a sample.
    pub fn serving(mut self, run: PathBuf) -> Self {
        self.serve = Some(run);
        self
    }

    /// The stage, ready for requests.
    pub async fn build(self) -> Stage {
        self.on(cluster().await).await
    }

    /// The stage with its database in a cluster of the test's own.
    pub async fn on(mut self, cluster: &Cluster) -> Stage {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let database = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        cluster
            .create_database(&database, Some("planexe_template"))
            .await
            .expect("a database");
        let url = cluster.url(&database);
        let mut options = WorkerOptions::new(&url);
        options.step = Duration::from_millis(5);
        options.poll = Duration::from_millis(20);
        options.claim = self.working;
        options.serve = self.serve;
        let worker = Worker::start(options).await.expect("a worker");
        for (name, value) in [
            ("PLANEXE_POSTGRES_HOST", "127.0.0.1"),
            (
                "PLANEXE_POSTGRES_PORT",
                &self.postgres_port.unwrap_or(cluster.port()).to_string(),
            ),
            ("PLANEXE_POSTGRES_DB", &database),
            ("PLANEXE_WORKER_PLAN_URL", &worker.url()),
            // Most tests create the same prompt more than once.
            ("PLANEXE_MCP_REPEAT_WINDOW_SECONDS", "0"),
        ] {
            self.environment
                .entry(name.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        let log = Arc::new(Mutex::new(Vec::new()));
        let options = HostOptions {
            environment: Environment::Fixed(self.environment),
            variable_faults: self.variable_faults,
            reuse: self.reuse,
            stderr: Output::Capture(Arc::clone(&log)),
            ..HostOptions::default()
        };
        let host = Host::new(component(), manifest(), options).expect("a host");
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.expect("a connection");
        tokio::spawn(connection);
        Stage {
            host,
            worker,
            client,
            database,
            log,
        }
    }
}

/// A running application for one test.
pub struct Stage {
    /// The host.
    pub host: Host,
    /// The worker.
    pub worker: Worker,
    client: Client,
    database: String,
    log: Arc<Mutex<Vec<u8>>>,
}

impl Stage {
    /// A stage with the default settings.
    pub fn builder() -> StageBuilder {
        StageBuilder {
            environment: BTreeMap::new(),
            variable_faults: BTreeMap::new(),
            reuse: Reuse::default(),
            working: false,
            serve: None,
            postgres_port: None,
        }
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&self, request: Request<Bytes>) -> Answer {
        let is_head = request.method() == Method::HEAD;
        let (parts, body) = self.begin(request).await.into_parts();
        if is_head {
            // A server sends no body here, whatever the header says of its length.
            return Answer {
                parts,
                body: Ok(Bytes::new()),
            };
        }
        let body = body
            .collect()
            .await
            .map(|body| body.to_bytes())
            .map_err(|error| error.to_string());
        Answer { parts, body }
    }

    /// Sends a request and returns as soon as the answer begins.
    pub async fn begin(&self, request: Request<Bytes>) -> Response<Body> {
        let client = SocketAddr::from(([127, 0, 0, 1], 50_000));
        let request = request.map(|bytes| Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
        self.host.handle(client, request).await
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
        created["task_id"]
            .as_str()
            .unwrap_or_else(|| panic!("no task: {created}"))
            .to_owned()
    }

    /// Waits until a task is in one of these database states.
    pub async fn wait_for(&self, id: &str, states: &[&str]) {
        loop {
            let state = self
                .value("SELECT state::text FROM task_item WHERE id = $1::text::uuid", &[&id])
                .await;
            if states.iter().any(|wanted| state.as_deref() == Some(*wanted)) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
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

    /// Runs statements that return nothing.
    pub async fn execute(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> u64 {
        self.client
            .execute(statement, parameters)
            .await
            .expect("a valid statement")
    }

    /// The types of a statement's parameters.
    pub async fn parameter_types(&self, statement: &str) -> Vec<Type> {
        let prepared = self.client.prepare(statement).await.expect("a valid statement");
        prepared.params().to_vec()
    }

    /// The names and types of a statement's columns.
    pub async fn columns(&self, statement: &str) -> Vec<(String, Type)> {
        let prepared = self.client.prepare(statement).await.expect("a valid statement");
        let columns = prepared.columns().iter();
        columns
            .map(|column| (column.name().to_owned(), column.type_().clone()))
            .collect()
    }

    /// The rows of a statement.
    pub async fn query(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        let rows = self.client.query(statement, parameters).await;
        rows.unwrap_or_else(|error| panic!("{error}: {statement}"))
    }

    /// The one text value of a query.
    pub async fn value(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Option<String> {
        self.client
            .query_one(statement, parameters)
            .await
            .expect("one row")
            .get(0)
    }

    /// The rows of a query as a JSON array of objects.
    pub async fn rows(&self, query: &str) -> Value {
        let statement = format!("SELECT coalesce(json_agg(row_to_json(q)), '[]')::text FROM ({query}) q");
        serde_json::from_str(&self.value(&statement, &[]).await.expect("JSON")).expect("JSON")
    }

    /// Forgets what has been written to the log.
    pub fn forget_log(&self) {
        *self.log.lock().expect("the log") = Vec::new();
    }

    /// The name of the database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// What the component has written to its log.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.log.lock().expect("the log")).into_owned()
    }
}

/// The request that calls a tool over MCP.
pub fn tool_call(key: &str, name: &str, arguments: &Value) -> Request<Bytes> {
    let params = json!({ "name": name, "arguments": arguments });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params });
    let headers = [("content-type", "application/json"), ("x-api-key", key)];
    request(Method::POST, "/mcp", &headers, body.to_string().into())
}

/// A request.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)], body: Bytes) -> Request<Bytes> {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "test.local:3000");
    if !body.is_empty() {
        request = request.header("content-length", body.len());
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(body).expect("a valid request")
}

/// An answer, read whole.
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
        self.parts
            .headers
            .get(name)
            .map_or("", |value| value.to_str().expect("ASCII"))
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
