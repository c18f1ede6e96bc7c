//! The application of a test: a database, a worker, and a process of its own that serves it.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        LazyLock, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, Uri, header::CONTENT_LENGTH};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::TokioExecutor,
};
use planexe_local::{
    cluster::{Cluster, TEMPLATE},
    worker::{Worker, WorkerOptions},
};
use serde_json::{Value, json};

use super::{
    Schema, cluster, eventually,
    process::Process,
    project,
    requests::{Answer, tool_call},
    sql::connect,
};

/// Words on the standard error of either host when the component has trapped, or the host has failed.
const CRASHES: [&str; 5] = [
    "worker failed",
    "rror processing request",
    "panicked at",
    "guest invocation failed",
    "Component error",
];

/// The body of a request or response. It streams.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Sends each request on a connection of its own.
static CLIENT: LazyLock<Client<HttpConnector, Body>> = LazyLock::new(|| {
    let mut connector = HttpConnector::new();
    // What a test does not read stays with the server.
    connector.set_recv_buffer_size(Some(64 * 1024));
    let mut client = Client::builder(TokioExecutor::new());
    client.pool_max_idle_per_host(0).build(connector)
});

/// Starts an application.
pub struct AppBuilder {
    /// Environment variables, as an operator sets them.
    pub settings: BTreeMap<String, OsString>,
    /// The runtime configuration.
    pub runtime_config: PathBuf,
    options: Vec<&'static str>,
    working: bool,
    serve: Option<PathBuf>,
    schema: Schema,
}

impl AppBuilder {
    /// The state of its database, in place of the one that all tests have.
    pub fn schema(mut self, schema: Schema) -> Self {
        self.schema = schema;
        self
    }

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

    /// A new instance for each request.
    pub fn without_reuse(mut self) -> Self {
        self.options = vec!["--max-instance-reuse-count", "1"];
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
        let tables = self.schema.tables();
        let template = Some(TEMPLATE).filter(|_| tables == Schema::of_tests().generation().tables());
        cluster.create_database(&database, template).await.expect("a database");
        if template.is_none() {
            cluster.run(&database, &tables).await.expect("the tables");
        }
        let url = cluster.url(&database);
        let mut options = WorkerOptions::new(&url);
        options.step = Duration::from_millis(5);
        options.poll = Duration::from_millis(20);
        options.generation = self.schema.generation();
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
        TestApp {
            worker,
            process: tokio::task::spawn_blocking(start).await.expect("a process"),
            sql: connect(&url).await.expect("a connection"),
            database,
            url,
            schema: Mutex::new(self.schema),
            empty_500: AtomicU32::new(0),
        }
    }
}

/// A running application. At its end it must not have trapped.
pub struct TestApp {
    /// The worker.
    pub worker: Worker,
    /// The process that serves it.
    pub process: Process,
    /// A connection to its database.
    pub sql: tokio_postgres::Client,
    /// The name of its database.
    pub database: String,
    /// The address of its database.
    pub url: String,
    schema: Mutex<Schema>,
    /// Responses with status 500 and no body: the host's own, after a trap.
    empty_500: AtomicU32,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.process.kill();
        if !std::thread::panicking() {
            let log = self.log();
            let is_crash = |line: &&str| CRASHES.iter().any(|words| line.contains(words));
            let found = (self.empty_500.load(Relaxed), log.lines().find(is_crash));
            assert_eq!(found, (0, None), "a trap, or a failure of the host: {log}");
        }
    }
}

impl TestApp {
    /// With the default settings.
    pub fn builder() -> AppBuilder {
        AppBuilder {
            settings: BTreeMap::new(),
            runtime_config: project().join("runtime-config.toml"),
            options: Vec::new(),
            working: false,
            serve: None,
            schema: Schema::of_tests(),
        }
    }

    /// The state of its database.
    pub fn schema(&self) -> Schema {
        *self.schema.lock().expect("the schema")
    }

    /// Upgrades February's database as today's services do when they start, statement by statement, and the worker.
    pub async fn upgrade(&self) {
        for statement in Schema::upgrade() {
            self.sql.batch_execute(statement).await.expect("a valid statement");
        }
        *self.schema.lock().expect("the schema") = Schema::Upgraded;
        self.worker.upgrade();
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
        // The results of two tools may have an error of the plan.
        if !["plan_status", "plan_file_info"].contains(&name) {
            assert_eq!(result["isError"], json!(content.get("error").is_some()));
        }
        content
    }

    /// Creates a task; its id.
    pub async fn create(&self, prompt: &str) -> String {
        let created = self.tool("task_create", json!({ "prompt": prompt })).await;
        let id = created["task_id"].as_str();
        id.unwrap_or_else(|| panic!("no task: {created}")).to_owned()
    }

    /// What the component and its host have written to standard error.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// The log of the component, once it has so many lines. The line of a streamed response comes after its last byte.
    pub async fn log_lines(&self, count: usize) -> Vec<Value> {
        let lines = || {
            let log = self.log();
            let lines = log.lines().filter(|line| line.starts_with('{'));
            let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
            lines.map(parse).collect::<Vec<_>>()
        };
        eventually("the lines of the log", async || lines().len() >= count).await;
        lines()
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
