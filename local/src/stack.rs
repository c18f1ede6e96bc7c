//! What the component needs on one machine: a private Postgres and the sample worker where the settings name no
//! database; and the component in the local host. Knows neither terminals nor HTTP.

use std::{path::Path, time::Duration};

use anyhow::{Result, ensure};
use tokio_postgres::error::SqlState;

use crate::{
    cluster::{Cluster, ClusterOptions, TEMPLATE},
    host::{Host, HostOptions},
    schema::Generation,
    settings::{self, Variables},
    up::UpOptions,
    worker::{Worker, WorkerOptions},
};

/// The private Postgres and the sample worker; neither where the settings name a database.
pub(crate) struct Stack(Option<(Worker, Cluster)>);

impl Stack {
    /// Starts what the settings do not name, and adds the settings that lead there. `say` tells the person about it.
    ///
    /// # Errors
    /// What keeps it from starting, in one line with what to do about it.
    pub(crate) async fn start(options: &UpOptions, variables: &mut Variables, say: fn(&str)) -> Result<Self> {
        settings::adopt_database_uri(variables)?;
        let database = match options.planexe {
            Generation::Feb => "planexe",
            Generation::May => "planexe_may",
        };
        if options.planexe == Generation::May {
            let tools = variables.entry("PLANEXE_MCP_TOOLS".to_owned());
            tools.or_insert_with(|| "plan".to_owned());
        }
        if settings::names_database(variables) {
            say("Using the database that your settings name, without a private Postgres and a sample worker.");
            return Ok(Self(None));
        }
        say("Starting a private Postgres for this checkout ...");
        let fresh = ClusterOptions {
            fresh: options.fresh,
            generation: options.planexe,
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&options.project.join(".local/postgres"), fresh).await?;
        let port = cluster.port();
        say(&format!(
            "  listening on 127.0.0.1:{port}, data in {}",
            cluster.data().display()
        ));
        let runs = options.project.join(".local/runs");
        if options.fresh {
            // It fails where there has been no run.
            _ = std::fs::remove_dir_all(&runs);
        }
        if let Err(error) = cluster.create_database(database, Some(TEMPLATE)).await {
            let cause = error.downcast_ref().and_then(tokio_postgres::Error::code);
            ensure!(cause == Some(&SqlState::DUPLICATE_DATABASE), error);
        }
        let worker = Worker::start(WorkerOptions {
            folder: Some(runs),
            step: Duration::from_millis(options.step),
            serve: options.serve.clone(),
            claim: !options.no_plans,
            generation: options.planexe,
            ..WorkerOptions::new(cluster.url(database))
        });
        let worker = worker.await?;
        say(&format!(
            "Started the sample worker at {} (it makes sample plans, without an LLM).",
            worker.url()
        ));
        for (name, value) in [
            ("PLANEXE_POSTGRES_HOST", "127.0.0.1"),
            ("PLANEXE_POSTGRES_PORT", &port.to_string()),
            ("PLANEXE_POSTGRES_DB", database),
            ("PLANEXE_POSTGRES_USER", "planexe"),
            ("PLANEXE_POSTGRES_PASSWORD", "planexe"),
            ("PLANEXE_WORKER_PLAN_URL", &worker.url()),
        ] {
            variables.insert(name.to_owned(), value.to_owned());
        }
        Ok(Self(Some((worker, cluster))))
    }

    /// Ends what it started.
    pub(crate) async fn stop(self) {
        if let Some((worker, cluster)) = self.0 {
            worker.stop().await;
            cluster.stop().await;
        }
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
        max_requests: None,
    };
    Host::load(options).await
}
