//! What every test stands on: one runtime, one Postgres, one compiled component for the whole test binary, and a
//! [`Stage`] of its own for each test.

mod faults;
mod stage;
pub mod stdio;
mod users;
pub mod wire;
pub mod zips;

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::{LazyLock, OnceLock},
    time::{Duration, Instant},
};

pub use faults::{Link, own_cluster};
use planexe_local::{
    cluster::{Cluster, ClusterOptions},
    host::Runtime,
    manifest::Manifest,
};
pub use stage::{Answer, Stage, request, tool_call};

/// Longer than any test may take.
const TEST_LIMIT: Duration = Duration::from_secs(120);

/// What is answered within this time has not been waited for: far above every time limit of the component, so that no
/// test fails on a busy machine, and far below the host's own limits, of which most are none.
pub const ANSWERED: Duration = Duration::from_secs(30);

/// All tests share one runtime, so that what one of them starts outlives it.
static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .expect("a tokio runtime")
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
    RUNTIME.block_on(async { tokio::time::timeout(limit, test).await.expect("the test hangs") })
}

/// Waits until something is so.
pub async fn settle(is_so: impl Fn() -> bool) {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < ANSWERED, "it does not settle");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The folder of the project.
pub fn project() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Real runs beside the checkout, where there are any.
pub fn real_data() -> Option<PathBuf> {
    let folder = project().join("../shared/data");
    folder.is_dir().then_some(folder)
}

/// The application's manifest.
pub fn manifest() -> &'static Manifest {
    static MANIFEST: OnceLock<Manifest> = OnceLock::new();
    MANIFEST.get_or_init(|| {
        let spin_toml = project().join("spin.toml");
        Manifest::load(&spin_toml, Some(&project().join("runtime-config.toml"))).expect("a valid spin.toml")
    })
}

/// The compiled component.
pub fn component() -> &'static Runtime {
    static COMPONENT: OnceLock<Runtime> = OnceLock::new();
    COMPONENT.get_or_init(|| {
        let cache = project().join("target/component-cache");
        Runtime::load(manifest(), Some(&cache)).expect("the built component; run scripts/build")
    })
}

/// The test binary's Postgres. Its data need not survive.
pub async fn cluster() -> &'static Cluster {
    static CLUSTER: tokio::sync::OnceCell<Cluster> = tokio::sync::OnceCell::const_new();
    CLUSTER
        .get_or_init(|| async {
            let folder = project().join("target/test-postgres");
            let settings = [
                ("fsync", "off"),
                ("synchronous_commit", "off"),
                ("full_page_writes", "off"),
            ];
            let settings = settings
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec();
            Cluster::start(
                &folder,
                ClusterOptions {
                    fresh: true,
                    settings,
                    port: None,
                },
            )
            .await
            .expect("Postgres")
        })
        .await
}
