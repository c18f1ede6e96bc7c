//! The sample worker: a double of PlanExe's two services, for machines without an LLM.
//!
//! One half claims tasks from the database and runs them as `worker_plan_database` does; a template takes the place of
//! the LLM's answers. The other half serves the folders of the runs over HTTP as `worker_plan` does. Order and values
//! of all writes and answers are those of PlanExe at fd5cd20, also where a run ends badly; only the pace is a setting.
//! Knows nothing of MCP and of the component.
//!
//! Markers in a prompt choose an end: `[sample: fail]`, no LLM answers; `[sample: nul]`, the report has a NUL, which
//! the database refuses; `[sample: badutf8]`, it is not UTF-8; `[sample: crlf]`, its lines end with CR and LF.

mod database;
mod folder;
mod http;
mod pipeline;
mod tasks;

pub use crate::faults::{Fault, Faults};

use crate::host::server::Server;
use crate::schema::Generation;
use anyhow::Result;
use chrono::{FixedOffset, Offset, Utc};
use folder::Folder;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, atomic::Ordering::Relaxed};
use std::{path::PathBuf, time::Duration};
use tokio::task::JoinSet;

/// The last file of a run.
const COMPLETE: &str = "999-pipeline_complete.txt";
/// The folder of the runs as PlanExe's services name it: that inside of their containers.
const RUNS: &str = "/app/run";

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The database with the tasks.
    pub database_url: String,
    /// Where to serve the files; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The id in `workers`, as `PLANEXE_WORKER_ID` gives it; without one, a random UUID for each start.
    pub id: Option<String>,
    /// The folder of the runs, which several workers may share; without one, a temporary folder of this worker.
    pub folder: Option<PathBuf>,
    /// Time of one LLM call; PlanExe's take 4 to 20 seconds.
    pub step: Duration,
    /// The pause when no task waits and before another attempt, PlanExe's 5 seconds; a fifth of it after a good task,
    /// twelve of it between the heartbeats of an idle worker.
    pub poll: Duration,
    /// Time of the POST that PlanExe sends after the end of a task, while the folder of the run is still there.
    pub post: Duration,
    /// The worker's local time, that of the files in archives.
    pub offset: FixedOffset,
    /// A folder or zip of a real run, whose files stand for the result of every task.
    pub serve: Option<PathBuf>,
    /// Whether tasks are claimed at all. If not, only the HTTP half works.
    pub claim: bool,
    /// Whose services it doubles.
    pub generation: Generation,
}

impl WorkerOptions {
    /// What the local stack uses: any free loopback port, PlanExe's pace many times as fast.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            id: None,
            folder: None,
            step: Duration::from_millis(150),
            poll: Duration::from_millis(250),
            post: Duration::from_millis(50),
            offset: Utc.fix(),
            serve: None,
            claim: true,
            generation: Generation::default(),
        }
    }
}

/// A running worker. Its end is always a kill: a task in work stays `processing`, and its files stay in a given folder.
pub struct Worker {
    halves: JoinSet<Result<()>>,
    address: SocketAddr,
    faults: Faults,
    folder: Folder,
    is_temporary: bool,
}

impl Worker {
    /// Starts both halves. The database need not be there yet.
    ///
    /// # Errors
    /// When the address is taken, the database's address is no address, or the run to serve cannot be read.
    pub async fn start(options: WorkerOptions) -> Result<Self> {
        let served = options.serve.as_deref().map(folder::load).transpose()?;
        let database = database::Database::new(&options.database_url)?;
        let server = Server::bind(options.listen).await?;
        let temporary = std::env::temp_dir().join(format!("planexe-runs-{}", uuid::Uuid::new_v4()));
        let is_temporary = options.folder.is_none();
        let folder = Folder {
            path: options.folder.clone().unwrap_or(temporary),
            offset: options.offset,
            is_may: Arc::new((options.generation == Generation::May).into()),
        };
        let (address, faults, mut halves) = (server.local_addr(), Faults::default(), JoinSet::new());
        halves.spawn(http::serve(server, folder.clone(), faults.clone()));
        if options.claim {
            halves.spawn(tasks::work(database, folder.clone(), served, options));
        }
        Ok(Self {
            halves,
            address,
            faults,
            folder,
            is_temporary,
        })
    }

    /// The address of the HTTP half, such as `http://127.0.0.1:8000`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The same as an address to listen on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The handle that makes the HTTP half misbehave.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// How often each path was asked for.
    pub fn requests(&self) -> BTreeMap<String, usize> {
        self.faults.requests()
    }

    /// Writes files into the folder of a run, as if a task were at work.
    ///
    /// # Panics
    /// When the disk does not take them.
    #[expect(clippy::expect_used, reason = "for tests, which could do nothing else")]
    pub fn add_files(&self, run: &str, files: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<[u8]>)>) {
        for (name, content) in files {
            let written = self.folder.write(run, name.as_ref(), content.as_ref());
            written.expect("a folder that can be written to");
        }
    }

    /// From now on a double of May's services, as after an upgrade; a run that is at work fails.
    pub fn upgrade(&self) {
        self.folder.is_may.store(true, Relaxed);
    }

    /// Ends both halves and waits until nothing of them runs any more.
    pub async fn stop(mut self) {
        self.halves.shutdown().await;
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.halves.abort_all();
        if self.is_temporary {
            // In vain where no run has begun.
            _ = std::fs::remove_dir_all(&self.folder.path);
        }
    }
}

#[expect(clippy::print_stderr, reason = "a log for the person at the terminal")]
fn say(what: &str, error: &anyhow::Error) {
    eprintln!("worker: {what}: {error:#}");
}
