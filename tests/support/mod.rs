//! What the tests share: one runtime and one Postgres for the test binary, and an application for each test.
//!
//! A test sees the application from outside: over HTTP, in the database, on the standard error of its process. So the
//! same tests run on the local host and on Spin, with any manifest.

mod app;
mod process;
mod proxy;
mod requests;
mod schema;
mod sql;
pub mod stdio;
mod subject;
pub mod zips;

use std::{
    fmt::Debug,
    future::Future,
    panic::AssertUnwindSafe,
    path::Path,
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

pub use app::{AppBuilder, TestApp, TestApp as Stage};
use futures::FutureExt as _;
use planexe_local::cluster::{Cluster, ClusterOptions};
pub use proxy::{Faults, Proxy};
pub use requests::{Answer, http_double, request, tool_call};
pub use schema::Schema;
use serde_json::Value;
pub use sql::connect;
pub use subject::{Subject, is_skipped_on, manifest_file, variables};
use tokio::{runtime, sync::OnceCell, time};

/// Longer than any test may take.
const TEST_LIMIT: Duration = Duration::from_secs(120);

/// What is answered within this time has not been waited for: far above every time limit of the component, so that no
/// test fails on a busy machine, and far below the host's own limits, of which most do not exist.
pub const ANSWERED: Duration = Duration::from_secs(30);

/// All tests share one runtime, so that what one of them starts outlives it.
static RUNTIME: LazyLock<runtime::Runtime> = LazyLock::new(|| {
    let mut builder = runtime::Builder::new_multi_thread();
    builder.enable_all().build().expect("a tokio runtime")
});

/// Runs a test.
pub fn run(test: impl Future<Output = ()>) {
    block_on(test);
}

/// Waits for a part of a test that is not async itself.
pub fn block_on<T>(part: impl Future<Output = T>) -> T {
    run_for(TEST_LIMIT, part)
}

/// Runs a test that may take longer, when it is asked for in full.
pub fn run_for<T>(limit: Duration, test: impl Future<Output = T>) -> T {
    // Compiling takes longer than a test may.
    process::prepare();
    RUNTIME.block_on(async { time::timeout(limit, test).await.expect("the test hangs") })
}

/// A number from the environment: the full size of some tests takes minutes.
pub fn size(name: &str, default: usize) -> usize {
    let text = std::env::var(name).ok();
    text.map_or(default, |text| text.parse().expect("a whole number"))
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl AsyncFn() -> bool) {
    let began = Instant::now();
    while !is_so().await {
        assert!(began.elapsed() < ANSWERED, "not within {ANSWERED:?}: {what}");
        time::sleep(Duration::from_millis(20)).await;
    }
}

/// Checks every row of a table, then fails with all rows that do not hold.
pub async fn each_row<R: Debug>(rows: impl IntoIterator<Item = R>, mut check: impl AsyncFnMut(R)) {
    let mut failures = Vec::new();
    for row in rows {
        let name: String = format!("{row:?}").chars().take(200).collect();
        if let Err(panic) = AssertUnwindSafe(check(row)).catch_unwind().await {
            let reason = panic.downcast_ref::<String>().map(String::as_str);
            let reason = reason.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic");
            failures.push(format!("{name}: {reason}"));
        }
    }
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} rows do not hold:\n{}",
        failures.join("\n")
    );
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A JSON file of the project.
pub fn json_file(path: &str) -> Value {
    let text = std::fs::read_to_string(project().join(path)).expect("a readable file");
    serde_json::from_str(&text).expect("JSON")
}

/// The tools as they are listed where `mcp_tools` is not set. tests/generated/tools.rs compares the files with the types.
pub fn listed_tools() -> Vec<Value> {
    let names = [
        "prompt_examples",
        "task_create",
        "task_status",
        "task_stop",
        "task_file_info",
    ];
    names
        .map(|name| json_file(&format!("src/tools/list/{name}.json")))
        .into()
}

/// The Postgres of the test binary.
pub async fn cluster() -> &'static Cluster {
    static CLUSTER: OnceCell<&Cluster> = OnceCell::const_new();
    CLUSTER.get_or_init(|| own_cluster(&[])).await
}

/// Starts a Postgres. It ends with the test binary, and its data need not survive that.
pub async fn own_cluster(settings: &[(&str, &str)]) -> &'static Cluster {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let number = NUMBER.fetch_add(1, Relaxed);
    let folder = project().join(format!("target/test-postgres-{number}"));
    // Commits reach the operating system: servers are killed here, but no machine loses its power.
    let fast = [("fsync", "off"), ("full_page_writes", "off")];
    let settings = fast.iter().chain(settings);
    let settings = settings.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let options = ClusterOptions {
        fresh: true,
        settings: settings.collect(),
        generation: Schema::of_tests().generation(),
    };
    Box::leak(Box::new(Cluster::start(&folder, options).await.expect("Postgres")))
}
