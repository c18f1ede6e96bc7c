//! A host for the test guest, and requests to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use ::http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use planexe_local::cluster::{Cluster, ClusterOptions};
use planexe_local::host::{self, Body, Environment, Host, HostOptions, Output, Runtime, Stats};
use planexe_local::manifest::Manifest;
use tokio::sync::OnceCell;

/// The compiled guest: built once, shared by all tests and their async runtimes.
static APPLICATION: LazyLock<(Runtime, Manifest)> = LazyLock::new(|| {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guest");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--locked", "--target", "wasm32-wasip2"])
        .env("CARGO_TARGET_DIR", target)
        .current_dir(&guest)
        .status();
    assert!(status.expect("cargo runs").success(), "the test guest does not build");
    let manifest = Manifest::load(&guest.join("spin.toml"), None).expect("the guest's manifest");
    let cache = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("compiled");
    (
        Runtime::load(&manifest, Some(&cache)).expect("the guest compiles"),
        manifest,
    )
});

pub(crate) fn runtime() -> &'static Runtime {
    &APPLICATION.0
}

pub(crate) fn manifest() -> &'static Manifest {
    &APPLICATION.1
}

/// A host and what its guest and it itself wrote.
pub(crate) struct Tested {
    pub(crate) host: Host,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
}

/// A host that depends on nothing of this machine.
pub(crate) fn tested() -> Tested {
    tested_with(|_| {})
}

pub(crate) fn tested_with(change: impl FnOnce(&mut HostOptions)) -> Tested {
    let (stdout, stderr) = (Arc::default(), Arc::default());
    let mut options = HostOptions {
        environment: environment(&[("SPIN_VARIABLE_API_KEY", "secret")]),
        stdout: Output::Capture(Arc::clone(&stdout)),
        stderr: Output::Capture(Arc::clone(&stderr)),
        ..HostOptions::default()
    };
    change(&mut options);
    let host = Host::new(runtime(), manifest(), options).expect("a host");
    Tested { host, stdout, stderr }
}

pub(crate) fn environment(values: &[(&str, &str)]) -> Environment {
    Environment::Fixed(
        values
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect::<BTreeMap<_, _>>(),
    )
}

pub(crate) fn client() -> SocketAddr {
    ([127, 0, 0, 1], 4711).into()
}

/// A request for a path with headers.
pub(crate) fn request(path: &str, headers: &[(&str, &str)]) -> Request<Body> {
    let mut request = Request::get(format!("http://test{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(host::body("")).expect("a request")
}

impl Tested {
    pub(crate) async fn send(&self, request: Request<Body>) -> Response<Body> {
        self.host.handle(client(), request).await
    }

    /// Status and text of the answer.
    pub(crate) async fn get(&self, path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
        let response = self.send(request(path, headers)).await;
        let status = response.status();
        (status, text(response.into_body()).await.expect("a body that ends well"))
    }

    /// The text of an answer with status 200.
    pub(crate) async fn ok(&self, path: &str, headers: &[(&str, &str)]) -> String {
        let (status, text) = self.get(path, headers).await;
        assert_eq!(status, 200, "{path}: {text} {}", self.stderr());
        text
    }

    pub(crate) fn stats(&self) -> Stats {
        self.host.stats()
    }

    pub(crate) fn stdout(&self) -> String {
        String::from_utf8_lossy(&self.stdout.lock().expect("a buffer")).into_owned()
    }

    pub(crate) fn stderr(&self) -> String {
        String::from_utf8_lossy(&self.stderr.lock().expect("a buffer")).into_owned()
    }
}

pub(crate) async fn text(body: Body) -> Result<String, wasmtime_wasi_http::Error> {
    Ok(String::from_utf8_lossy(&body.collect().await?.to_bytes()).into_owned())
}

/// Waits until something is so, for at most 5 s.
pub(crate) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not within 5 s: {what}");
}

static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();

/// The database of all tests.
const DATABASE: &str = "host_tests";

/// The database server of all tests.
pub(crate) async fn cluster() -> &'static Cluster {
    let start = async || {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("host-postgres");
        let settings = vec![("fsync".to_owned(), "off".to_owned())];
        let options = ClusterOptions {
            settings,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&folder, options).await.expect("a cluster");
        cluster.drop_database(DATABASE).await.expect("no database");
        cluster.create_database(DATABASE, None).await.expect("a database");
        cluster
    };
    CLUSTER.get_or_init(start).await
}

/// A host that may reach the database server, and the server's address.
pub(crate) async fn tested_with_database(change: impl FnOnce(&mut HostOptions)) -> (Tested, String) {
    let cluster = cluster().await;
    let tested = tested_with(|options| {
        options
            .variables
            .insert("database_port".to_owned(), cluster.port().to_string());
        change(options);
    });
    (tested, cluster.url(DATABASE))
}
