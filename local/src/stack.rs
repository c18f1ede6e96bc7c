//! What stands behind the component on one machine: a database and the sample worker where the settings name no
//! database, and the component in the local host.
//!
//! Several processes of a checkout share one private Postgres: the first runs it, and when that one ends, another
//! takes over. Knows nothing of who asks: neither of terminals nor of HTTP.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use tokio_postgres::NoTls;

use crate::cluster::{Cluster, ClusterOptions, InUse};
use crate::host::{Host, HostOptions};
use crate::settings::{self, Variables};
use crate::worker::{Worker, WorkerOptions};

/// The database of the private Postgres.
const DATABASE: &str = "planexe";
/// How long another process may take to start the cluster that it holds.
const SHARE_LIMIT: Duration = Duration::from_secs(60);
/// Between two attempts to reach that cluster, or to take it over.
const PAUSE: Duration = Duration::from_millis(500);

/// How to start it.
#[derive(Debug, Clone)]
pub(crate) struct StackOptions {
    /// The folder with `spin.toml`.
    pub(crate) project: PathBuf,
    /// Forget the data of the private Postgres.
    pub(crate) fresh: bool,
    /// Time of one LLM call of the sample worker.
    pub(crate) step: Duration,
    /// A folder or zip of a real run for the sample worker to hand out.
    pub(crate) serve: Option<PathBuf>,
    /// Whether the sample worker makes plans. If not, it only hands out files.
    pub(crate) plans: bool,
}

impl StackOptions {
    fn folder(&self) -> PathBuf {
        self.project.join(".local/postgres")
    }

    /// The folder of the runs. All processes of a checkout serve it, and it outlives them.
    fn runs(&self) -> PathBuf {
        self.project.join(".local/runs")
    }

    fn worker(&self, port: u16) -> WorkerOptions {
        let mut options = WorkerOptions::new(database_url(port));
        options.folder = Some(self.runs());
        options.step = self.step;
        options.serve.clone_from(&self.serve);
        options.claim = self.plans;
        options
    }
}

/// The neighbours of the component that this process has started.
pub(crate) enum Stack {
    /// None: the environment names a database.
    Theirs,
    /// Both.
    Own(Box<Cluster>, Worker),
    /// None yet: another process runs them. The task takes over when that one ends, and ends itself when it is told.
    Shared(oneshot::Sender<()>, JoinHandle<()>),
}

impl Stack {
    /// Starts what the environment does not name, and adds the settings that lead there. `say` is told about it.
    ///
    /// # Errors
    /// What keeps it from starting, in one line with what to do about it.
    pub(crate) async fn start(options: StackOptions, variables: &mut Variables, say: fn(&str)) -> Result<Self> {
        settings::adopt_database_uri(variables)?;
        if settings::names_database(variables) {
            say("Using the database that your settings name, without a private Postgres and a sample worker.");
            return Ok(Self::Theirs);
        }
        say("Starting a private Postgres for this checkout ...");
        let end = Instant::now() + SHARE_LIMIT;
        loop {
            let in_use = match start_both(&options).await {
                Ok((cluster, worker)) => {
                    let (port, folder) = (cluster.port(), cluster.folder());
                    if let Some(note) = cluster.note() {
                        say(&format!("  {note}"));
                    }
                    say(&format!(
                        "  listening on 127.0.0.1:{port}, data in {}",
                        folder.display()
                    ));
                    say(&format!(
                        "Started the sample worker at {} (it makes sample plans, without an LLM).",
                        worker.url()
                    ));
                    lead_to(variables, port, &worker);
                    return Ok(Self::Own(Box::new(cluster), worker));
                }
                Err(error) => match error.downcast::<InUse>() {
                    Ok(in_use) if !options.fresh && Instant::now() < end => in_use,
                    Ok(in_use) => return Err(in_use.into()),
                    Err(error) => return Err(error),
                },
            };
            if let Some(port) = in_use.port()
                && answers(port).await
            {
                say(&format!(
                    "  process {} of this checkout runs it already, with the sample worker: using those",
                    in_use.holder()
                ));
                return Self::share(options, port, variables, say).await;
            }
            sleep(PAUSE).await;
        }
    }

    /// Uses the cluster that another process runs at this port.
    async fn share(options: StackOptions, port: u16, variables: &mut Variables, say: fn(&str)) -> Result<Self> {
        // It claims nothing, but serves the same folder; and it keeps the component's address for later.
        let mut idle = options.worker(port);
        idle.claim = false;
        let worker = Worker::start(idle).await?;
        lead_to(variables, port, &worker);
        let (stop, stopping) = oneshot::channel();
        let task = tokio::spawn(take_over(options, worker, port, say, stopping));
        Ok(Self::Shared(stop, task))
    }

    /// Ends what it started.
    pub(crate) async fn stop(self) {
        match self {
            Self::Theirs => {}
            Self::Own(cluster, worker) => {
                worker.stop().await;
                cluster.stop().await;
            }
            Self::Shared(stop, task) => {
                // Where the task has ended by itself, there is nobody to tell.
                _ = stop.send(());
                _ = task.await;
            }
        }
    }
}

/// Waits until the process that runs the cluster ends, runs it at the same port in its place, and ends it when told.
async fn take_over(options: StackOptions, idle: Worker, port: u16, say: fn(&str), mut stopping: oneshot::Receiver<()>) {
    let address = idle.address();
    let mut idle = Some(idle);
    let running = loop {
        tokio::select! {
            _ = &mut stopping => break None,
            () = sleep(PAUSE) => {}
        }
        let Ok(cluster) = Cluster::start(
            &options.folder(),
            ClusterOptions {
                port: Some(port),
                ..ClusterOptions::default()
            },
        )
        .await
        else {
            continue;
        };
        if let Some(idle) = idle.take() {
            idle.stop().await;
        }
        let mut worker = options.worker(port);
        worker.listen = address;
        say("The process that ran the private Postgres has ended: running it from here on.");
        let worker = Worker::start(worker).await;
        let worker = worker.inspect_err(|error| say(&format!("The sample worker does not start again: {error:#}")));
        break Some((cluster, worker.ok()));
    };
    if let Some((cluster, worker)) = running {
        _ = stopping.await;
        if let Some(worker) = worker {
            worker.stop().await;
        }
        cluster.stop().await;
    } else if let Some(idle) = idle {
        idle.stop().await;
    }
}

async fn start_both(options: &StackOptions) -> Result<(Cluster, Worker)> {
    let cluster_options = ClusterOptions {
        fresh: options.fresh,
        ..ClusterOptions::default()
    };
    let cluster = Cluster::start(&options.folder(), cluster_options).await?;
    if options.fresh {
        // In vain where there has been no run.
        _ = std::fs::remove_dir_all(options.runs());
    }
    if !cluster.has_database(DATABASE).await? {
        cluster.create_database(DATABASE, Some("planexe_template")).await?;
    }
    let worker = Worker::start(options.worker(cluster.port())).await?;
    Ok((cluster, worker))
}

/// Whether the database is there.
async fn answers(port: u16) -> bool {
    tokio_postgres::connect(&database_url(port), NoTls).await.is_ok()
}

fn database_url(port: u16) -> String {
    format!("postgres://planexe:planexe@127.0.0.1:{port}/{DATABASE}")
}

/// The settings for the private Postgres and the sample worker.
fn lead_to(variables: &mut Variables, port: u16, worker: &Worker) {
    for (name, value) in [
        ("PLANEXE_POSTGRES_HOST", "127.0.0.1".to_owned()),
        ("PLANEXE_POSTGRES_PORT", port.to_string()),
        ("PLANEXE_POSTGRES_DB", DATABASE.to_owned()),
        ("PLANEXE_POSTGRES_USER", "planexe".to_owned()),
        ("PLANEXE_POSTGRES_PASSWORD", "planexe".to_owned()),
        ("PLANEXE_WORKER_PLAN_URL", worker.url()),
    ] {
        variables.insert(name.to_owned(), value);
    }
}

/// The component in the local host, compiled or taken from the cache.
///
/// # Errors
/// When it is not built, or this host cannot run it.
pub(crate) async fn load(project: &Path, variables: &Variables) -> Result<Host> {
    let runtime_config = project.join("runtime-config.toml");
    let options = HostOptions {
        manifest: project.join("spin.toml"),
        runtime_config: Some(runtime_config).filter(|file| file.is_file()),
        environment: variables
            .iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
        max_reuse: None,
    };
    Host::load(options).await
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Far above what a takeover needs, so that no busy machine fails the test.
    const LIMIT: Duration = Duration::from_secs(90);

    #[tokio::test]
    async fn the_second_process_shares_the_database_and_takes_it_over() {
        let project = std::env::temp_dir().join(format!("planexe-stack-{}", std::process::id()));
        _ = std::fs::remove_dir_all(&project);
        let options = StackOptions {
            project: project.clone(),
            fresh: false,
            step: Duration::from_millis(5),
            serve: None,
            plans: true,
        };
        let (mut one, mut other) = (Variables::new(), Variables::new());
        let first = Stack::start(options.clone(), &mut one, |_| ()).await.unwrap();
        let second = Stack::start(options.clone(), &mut other, |_| ()).await.unwrap();
        assert!(matches!(second, Stack::Shared(..)));
        assert_eq!(one["PLANEXE_POSTGRES_PORT"], other["PLANEXE_POSTGRES_PORT"]);
        assert_ne!(one["PLANEXE_WORKER_PLAN_URL"], other["PLANEXE_WORKER_PLAN_URL"]);
        let fresh = StackOptions { fresh: true, ..options };
        assert!(Stack::start(fresh, &mut Variables::new(), |_| ()).await.is_err());

        let port = other["PLANEXE_POSTGRES_PORT"].parse().unwrap();
        let url = database_url(port);
        let insert = "INSERT INTO task_item (id, state, prompt, timestamp_created, last_seen_timestamp) \
            VALUES (gen_random_uuid(), 'pending', 'a plan', now(), now())";
        let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
        let connection = tokio::spawn(connection);
        first.stop().await;
        _ = connection.await;
        drop(client);
        // Its worker comes along: a task is made in the database that was taken over.
        let made = async {
            loop {
                sleep(Duration::from_millis(50)).await;
                let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await else {
                    continue;
                };
                tokio::spawn(connection);
                client.batch_execute(insert).await.unwrap();
                let completed = "SELECT 1 FROM task_item WHERE state = 'completed'";
                while client.query_opt(completed, &[]).await.unwrap().is_none() {
                    sleep(Duration::from_millis(50)).await;
                }
                break;
            }
        };
        tokio::time::timeout(LIMIT, made)
            .await
            .expect("the database is not taken over");
        second.stop().await;
        assert!(!answers(port).await);
        _ = std::fs::remove_dir_all(&project);
    }
}
