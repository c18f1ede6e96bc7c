//! A private Postgres cluster: made, started, frozen, killed and ended by this process, for local use
//! and for tests.
//!
//! It listens on loopback alone and has one account, `planexe` with the password `planexe`, which may
//! create databases and is no superuser: other people on the machine know that password too. The
//! server ends with its [`Cluster`], and by a watchdog when this process dies.
//!
//! Knows nothing of tasks and of what is in the tables; only the schema as a whole.

mod account;
mod data;
mod home;
mod installation;
mod server;
#[cfg(test)]
mod tests;

use account::Account;
use anyhow::{Context, Result, bail};
use home::Home;
pub use home::InUse;
use installation::Installation;
use server::Server;
use sha2::{Digest, Sha256};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicI32, AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio_postgres::{Client, NoTls};

/// The tables of PlanExe, as PlanExe's own models make them.
pub const SCHEMA: &str = include_str!("schema.sql");

/// The database that every cluster has, with the schema and no rows, to copy others from.
pub const TEMPLATE: &str = "planexe_template";

/// Recovery after a crash counts too.
const START_LIMIT: Duration = Duration::from_secs(60);

/// What a small private server needs. The caller's own settings come after these and win.
const SETTINGS: [(&str, &str); 10] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("cluster_name", "planexe-local"),
    ("max_connections", "200"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    ("timezone", "UTC"),
    ("log_timezone", "UTC"),
];

/// How to start a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Forget the data of earlier starts.
    pub fresh: bool,
    /// Settings of the server, name and value, such as `("fsync", "off")`.
    pub settings: Vec<(String, String)>,
    /// The port to listen on; without it the one of the last start if it is free, else any free one.
    pub port: Option<u16>,
}

/// A running cluster. The server ends when this value is dropped.
pub struct Cluster {
    // Before `home`: the server ends while the folder is still held.
    server: Mutex<Option<Server>>,
    pid: AtomicI32,
    port: AtomicU16,
    settings: Vec<(String, String)>,
    installation: Installation,
    account: Account,
    home: Home,
}

impl Cluster {
    /// Starts the cluster of this folder; makes folder and data when there are none.
    ///
    /// # Errors
    ///
    /// When there is no Postgres on this machine, when another process runs this cluster already ([`InUse`]), when
    /// the wanted port is taken, or when the server does not start. Each says in one line what to do.
    pub async fn start(dir: &Path, options: ClusterOptions) -> Result<Self> {
        let (folder, fresh) = (dir.to_path_buf(), options.fresh);
        let fsync = !options
            .settings
            .iter()
            .any(|(name, value)| name == "fsync" && value == "off");
        let prepared = tokio::task::spawn_blocking(move || data::prepare(&folder, fresh, fsync)).await;
        let (home, account, installation) = prepared.context("the start of the database was interrupted")??;
        let cluster = Self {
            server: Mutex::new(None),
            pid: AtomicI32::new(0),
            port: AtomicU16::new(0),
            settings: options.settings,
            installation,
            account,
            home,
        };
        cluster.launch(options.port).await?;
        cluster
            .make_template()
            .await
            .context("cannot load the database schema")?;
        Ok(cluster)
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port.load(Ordering::Relaxed)
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://planexe:planexe@127.0.0.1:{}/{database}", self.port())
    }

    /// The process id of its postmaster; that of the last one when it does not run.
    pub fn pid(&self) -> i32 {
        self.pid.load(Ordering::Relaxed)
    }

    /// Its folder, which holds the server's log `postgres.log`.
    pub fn folder(&self) -> &Path {
        self.home.folder()
    }

    /// A line for the user when the folder could not be where it was wanted.
    pub fn note(&self) -> Option<&str> {
        self.home.note()
    }

    /// Makes a database: a copy of `template`, usually [`TEMPLATE`], or an empty one.
    ///
    /// # Errors
    ///
    /// When there is one of this name already, or the server does not answer.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let (name, template) = (quoted(name), quoted(template.unwrap_or("template0")));
        self.run("postgres", &format!("CREATE DATABASE {name} TEMPLATE {template}"))
            .await
            .with_context(|| format!("cannot make the database {name}"))
    }

    /// Whether there is a database of this name.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn has_database(&self, name: &str) -> Result<bool> {
        let (client, _driver) = self.connect("postgres").await?;
        let found = client
            .query_opt("SELECT 1 FROM pg_database WHERE datname = $1", &[&name])
            .await;
        Ok(found.context("cannot look for the database")?.is_some())
    }

    /// Removes a database and sends its clients away; one that is not there is no error.
    ///
    /// # Errors
    ///
    /// When the server does not answer.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let name = quoted(name);
        self.run("postgres", &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            .await
            .with_context(|| format!("cannot remove the database {name}"))
    }

    /// Halts every process of the server: connections are taken and never answered.
    pub fn freeze(&self) {
        self.server().as_ref().inspect(|server| server.freeze());
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.server().as_ref().inspect(|server| server.thaw());
    }

    /// Ends every process of the server at once, as a power cut would: connections are refused.
    pub fn kill(&self) {
        if let Some(server) = self.server().take() {
            server.kill();
        }
    }

    /// Starts the server again on the same port, ended before or not, with the same settings and data.
    ///
    /// # Errors
    ///
    /// As [`Cluster::start`].
    pub async fn restart(&self) -> Result<()> {
        self.end().await;
        self.launch(Some(self.port())).await
    }

    /// Ends the server in order: clients are sent away, the data is written.
    pub async fn stop(self) {
        self.end().await;
    }

    async fn end(&self) {
        let server = self.server().take();
        // A panic there has nowhere to go, and the server's watchdog is still there.
        let _ = tokio::task::spawn_blocking(move || drop(server)).await;
    }

    fn server(&self) -> MutexGuard<'_, Option<Server>> {
        self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts the server; tries other ports when the free one was snatched away.
    async fn launch(&self, wanted: Option<u16>) -> Result<()> {
        for attempt in 1.. {
            let data = self.home.data();
            let orphan = tokio::task::spawn_blocking(move || server::end_orphan(&data)).await;
            orphan.context("the start of the database was interrupted")??;
            let port = self.home.choose_port(wanted)?;
            let mut server = Server::spawn(self.command(port)?, self.account.command(Path::new("/bin/sh")))?;
            match self.ready(&mut server).await {
                Ok(()) => {
                    self.home.keep_port(port)?;
                    self.port.store(port, Ordering::Relaxed);
                    self.pid.store(server.pid(), Ordering::Relaxed);
                    *self.server() = Some(server);
                    return Ok(());
                }
                Err(Failed::PortTaken) if wanted.is_none() && attempt < 4 => {}
                Err(Failed::PortTaken) => bail!("port {port} is taken by another program"),
                Err(Failed::Other(why)) => {
                    bail!(
                        "the database server did not start: {why} (more in {})",
                        self.home.log().display()
                    )
                }
            }
        }
        Ok(())
    }

    fn command(&self, port: u16) -> Result<Command> {
        let mut command = self.account.command(&self.installation.program("postgres"));
        let log = self.home.new_log()?;
        command
            .stdout(log.try_clone().context("cannot share the server's log")?)
            .stderr(log);
        command
            .current_dir(self.home.data())
            .arg("-D")
            .arg(self.home.data())
            .args(["-c", &format!("port={port}")]);
        let own = self
            .settings
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        for (name, value) in SETTINGS.into_iter().chain(own) {
            command.args(["-c", &format!("{name}={value}")]);
        }
        Ok(command)
    }

    /// Waits until the server takes connections, which it writes in the last line of its pid file.
    async fn ready(&self, server: &mut Server) -> Result<(), Failed> {
        let file = self.home.data().join("postmaster.pid");
        let end = Instant::now() + START_LIMIT;
        while Instant::now() < end {
            if server.ended().is_some() {
                return Err(self.failure());
            }
            let lines = std::fs::read_to_string(&file).unwrap_or_default();
            let is_own = lines.lines().next() == Some(&server.pid().to_string());
            if is_own && lines.lines().nth(7).is_some_and(|state| state.trim_end() == "ready") {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Err(Failed::Other(format!(
            "it was not ready after {} seconds",
            START_LIMIT.as_secs()
        )))
    }

    fn failure(&self) -> Failed {
        let log = std::fs::read_to_string(self.home.log()).unwrap_or_default();
        if log.contains("could not create any TCP/IP sockets") {
            return Failed::PortTaken;
        }
        let line = log
            .lines()
            .rev()
            .find(|line| line.contains("FATAL:") || line.contains("PANIC:"));
        Failed::Other(
            line.or(log.lines().last())
                .unwrap_or("it said nothing")
                .trim()
                .to_owned(),
        )
    }

    async fn connect(&self, database: &str) -> Result<(Client, tokio::task::JoinHandle<()>)> {
        let (client, connection) = tokio_postgres::connect(&self.url(database), NoTls)
            .await
            .context("cannot connect to the database")?;
        // An error of the connection reaches the client as well.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok((client, driver))
    }

    async fn run(&self, database: &str, sql: &str) -> Result<()> {
        let (client, driver) = self.connect(database).await?;
        client.batch_execute(sql).await?;
        drop(client);
        let _ = driver.await;
        Ok(())
    }

    /// Makes the template, again when the schema is another than that of the last start.
    async fn make_template(&self) -> Result<()> {
        let hash: String = Sha256::digest(SCHEMA)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let (client, _driver) = self.connect("postgres").await?;
        let sql = "SELECT shobj_description(oid, 'pg_database') FROM pg_database WHERE datname = $1";
        let found = client.query_opt(sql, &[&TEMPLATE]).await?;
        if found.is_some_and(|row| row.get::<_, Option<String>>(0).as_deref() == Some(&*hash)) {
            return Ok(());
        }
        self.drop_database(TEMPLATE).await?;
        self.create_database(TEMPLATE, None).await?;
        self.run(TEMPLATE, SCHEMA).await?;
        // A database with clients cannot be copied, and a leaving one takes its time.
        let sql = "SELECT 1 FROM pg_stat_activity WHERE datname = $1";
        while client.query_opt(sql, &[&TEMPLATE]).await?.is_some() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        // Last, so that a start that was interrupted begins again.
        client
            .batch_execute(&format!("COMMENT ON DATABASE {TEMPLATE} IS '{hash}'"))
            .await?;
        Ok(())
    }
}

enum Failed {
    PortTaken,
    Other(String),
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
