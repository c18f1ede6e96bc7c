//! The sample worker: stands in for PlanExe's two workers, which need an LLM.
//!
//! One half claims tasks from the database as `worker_plan_database` does and makes a small plan out of
//! the prompt by plain rules. The other half serves the files of a run over HTTP as `worker_plan` does.
//!
//! Knows the tables and the two services' behaviour; knows nothing of MCP and of the component.

mod archive;
mod earlier;
mod faults;
mod http;
mod queue;
mod runs;
mod sample;

pub use faults::{Fault, Faults};

use anyhow::{Context, Result};
use bytes::Bytes;
use earlier::Earlier;
use queue::{Halt, Queue, Step, Task};
use runs::Runs;
use sample::Sample;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// The name of the report among the files of a run.
pub const REPORT: &str = "030-report.html";

/// A prompt that contains this makes the worker fail half way.
pub const FAIL_MARKER: &str = "[sample: fail]";

/// The log of a run: a file of it, but not part of its archive.
const LOG: &str = "log.txt";

/// How often an idle worker looks for a task.
const POLL: Duration = Duration::from_millis(250);
/// How long either half may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(3);

/// How the worker works.
#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// The database with the tasks.
    pub database_url: String,
    /// Where to serve the files; port 0 picks a free one.
    pub listen: SocketAddr,
    /// Time between two visible steps of a task.
    pub step: Duration,
    /// A folder or zip of a real run, whose files stand for the result of every task.
    pub serve: Option<PathBuf>,
    /// Whether report and archive are stored in the database too. If not, only HTTP has them.
    pub store_in_database: bool,
    /// Whether tasks are claimed at all. If not, only the HTTP half works.
    pub claim: bool,
}

impl WorkerOptions {
    /// What the local stack uses: any free loopback port, half a second a step, results stored.
    pub fn new(database_url: impl Into<String>) -> Self {
        Self {
            database_url: database_url.into(),
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            step: Duration::from_millis(500),
            serve: None,
            store_in_database: true,
            claim: true,
        }
    }
}

/// A running worker. Ends when dropped; [`Worker::stop`] ends it in order.
pub struct Worker {
    address: SocketAddr,
    faults: Faults,
    runs: Runs,
    stop: watch::Sender<bool>,
    halves: Vec<JoinHandle<()>>,
}

impl Worker {
    /// Starts both halves. The database need not be there yet.
    ///
    /// # Errors
    ///
    /// When the address is taken, the database's address is no address, or the run to serve cannot be
    /// read.
    pub async fn start(options: WorkerOptions) -> Result<Self> {
        let served = match options.serve.clone() {
            None => None,
            Some(path) => {
                let read = tokio::task::spawn_blocking(move || archive::load(&path)).await;
                Some(Arc::new(read.context("the start of the worker was interrupted")??))
            }
        };
        let listener = TcpListener::bind(options.listen)
            .await
            .with_context(|| format!("the worker cannot listen on {}", options.listen))?;
        let address = listener.local_addr().context("the worker has no address")?;
        let (stop, stopping) = watch::channel(false);
        let (faults, runs) = (Faults::default(), Runs::default());
        let queue = Queue::new(&options.database_url, stopping.clone())?;
        let server = http::Server::new(runs.clone(), faults.clone(), Earlier::new(&options.database_url)?);
        let mut halves = vec![tokio::spawn(server.run(listener, stopping.clone()))];
        if options.claim {
            let claimer = Claimer {
                queue,
                runs: runs.clone(),
                served,
                options,
                stopping,
            };
            halves.push(tokio::spawn(claimer.run()));
        }
        Ok(Self {
            address,
            faults,
            runs,
            stop,
            halves,
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

    /// Adds files to a run, a new one if need be, as if a task had made them.
    pub fn add_files<I, N, B>(&self, run: &str, files: I)
    where
        I: IntoIterator<Item = (N, B)>,
        N: Into<String>,
        B: Into<Bytes>,
    {
        self.runs.add(
            run,
            files.into_iter().map(|(name, content)| (name.into(), content.into())),
        );
    }

    /// Ends both halves. A task in work goes back to the waiting ones.
    pub async fn stop(mut self) {
        self.stop.send_replace(true);
        for half in &mut self.halves {
            // One that does not end in time is cut off when this value is dropped.
            let _ = timeout(STOP_LIMIT, half).await;
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.halves.iter().for_each(JoinHandle::abort);
    }
}

/// The half that works on tasks, one at a time.
struct Claimer {
    queue: Queue,
    runs: Runs,
    served: Option<Arc<archive::Files>>,
    options: WorkerOptions,
    stopping: watch::Receiver<bool>,
}

impl Claimer {
    async fn run(mut self) {
        if self.queue.take_up_abandoned().await == Err(Halt::Stopping) {
            return;
        }
        let mut said = String::new();
        loop {
            let ended = match self.queue.claim().await {
                Ok(Some(task)) => self.work_on(&task).await,
                Ok(None) if self.pause(POLL).await => Ok(()),
                Ok(None) => Err(Halt::Stopping),
                Err(halt) => Err(halt),
            };
            match ended {
                Ok(()) => {}
                Err(Halt::Stopping) => return,
                Err(Halt::Refused(why)) => {
                    if said != why {
                        say(&format!("the database refuses: {why}"));
                        said = why;
                    }
                    if !self.pause(POLL * 4).await {
                        return;
                    }
                }
            }
        }
    }

    /// Works on one task to its end, whichever that is.
    async fn work_on(&mut self, task: &Task) -> Result<(), Halt> {
        match self.steps(task).await {
            Err(Halt::Stopping) => {
                self.queue.put_back(task).await;
                Err(Halt::Stopping)
            }
            Err(Halt::Refused(why)) => {
                say(&format!("the result of a task cannot be stored: {why}"));
                self.queue.fail(task, "The worker could not store the result.").await
            }
            Ok(()) => Ok(()),
        }
    }

    async fn steps(&mut self, task: &Task) -> Result<(), Halt> {
        if !task.has_last_seen {
            return self
                .queue
                .fail(
                    task,
                    "The task has no last_seen_timestamp: PlanExe's worker cannot run it.",
                )
                .await;
        }
        let stages = self.stages(task);
        let total: usize = stages.iter().flatten().filter(|(name, _)| !is_extra(name)).count();
        let (mut done, mut extra) = (0, 0);
        let middle = stages.len() / 2;
        for (number, files) in stages.into_iter().enumerate() {
            if number == middle && task.prompt.contains(FAIL_MARKER) {
                let why = format!("Failed after {done} of {total}: the prompt contains {FAIL_MARKER}.");
                return self.queue.fail(task, &why).await;
            }
            if !self.pause(self.options.step).await {
                return Err(Halt::Stopping);
            }
            extra += files.iter().filter(|(name, _)| is_extra(name)).count();
            done += files.iter().filter(|(name, _)| !is_extra(name)).count();
            let line = format!("{} step {}\n", time::OffsetDateTime::now_utc().time(), number + 1);
            self.runs.add(&task.id, files);
            self.runs.append(&task.id, LOG, &line);
            let message = format!("{done} of {total}. Extra files: {}", extra + 1);
            match self.queue.progress(task, percentage(done, total), &message).await? {
                Step::Go => {}
                Step::StopRequested => return self.queue.fail(task, "Stopped by user.").await,
                Step::Gone => return Ok(()),
            }
        }
        if self.options.store_in_database {
            self.store(task).await?;
        }
        self.queue
            .complete(task, &format!("{done} of {total}. Extra files: {}", extra + 1))
            .await
    }

    /// The files of the task, a list for each visible step.
    fn stages(&self, task: &Task) -> Vec<Vec<(String, Bytes)>> {
        let short = task.speed.as_deref() == Some("ping_llm");
        let Some(served) = &self.served else {
            return Sample::new(&task.prompt, time::OffsetDateTime::now_utc()).stages(short);
        };
        let files: Vec<_> = served
            .iter()
            .map(|(name, content)| (name.clone(), content.clone()))
            .collect();
        let each = files.len().div_ceil(if short { 5 } else { 20 }).max(1);
        files.chunks(each).map(<[_]>::to_vec).collect()
    }

    async fn store(&mut self, task: &Task) -> Result<(), Halt> {
        let files = self.runs.files(&task.id).unwrap_or_default();
        let report = files
            .get(REPORT)
            .map(|file| String::from_utf8_lossy(&file.content).into_owned());
        let packed = tokio::task::spawn_blocking(move || archive::pack(&files)).await;
        match packed.map_err(anyhow::Error::from).flatten() {
            Ok(zip) => self.queue.store(task, report, zip).await,
            Err(error) => Err(Halt::Refused(format!("{error:#}"))),
        }
    }

    /// False when the worker is to stop.
    async fn pause(&mut self, time: Duration) -> bool {
        tokio::select! {
            () = sleep(time) => true,
            _ = self.stopping.wait_for(|stop| *stop) => false,
        }
    }
}

/// Files beyond those that PlanExe counts.
fn is_extra(name: &str) -> bool {
    name.ends_with("_raw.json") || name == LOG
}

fn percentage(done: usize, total: usize) -> f64 {
    // 100 is for tasks that are completed.
    if total == 0 {
        0.0
    } else {
        (done as f64 / total as f64 * 100.0).min(99.0)
    }
}

#[expect(clippy::print_stderr, reason = "the worker has nobody but the terminal to tell")]
fn say(message: &str) {
    eprintln!("worker: {message}");
}
