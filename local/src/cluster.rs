//! A private Postgres server for local use and for tests, driven by Postgres's own `initdb` and `pg_ctl`.
//!
//! It listens on loopback alone and has one account, `planexe` with the password `planexe`, which may create databases
//! and is not a superuser: other people on the machine know that password too. When this process is root, the account
//! `postgres` or `nobody` runs the server, since Postgres refuses root.
//!
//! One process at a time uses a folder, and locks it. The server ends with its [`Cluster`]. When the process is killed, a shell that
//! reads from it ends the server. Should both be killed, the next start in the folder ends it.
//!
//! ```text
//! pid     the id of the process that uses the folder
//! data/   Postgres's own, and the server's log `postgres.log`
//! ```

#[cfg(test)]
mod tests;

use std::fs::{self, File, Permissions, TryLockError};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context as _, Result, bail, ensure};
use nix::unistd::{User, geteuid};
use tokio_postgres::{Client, NoTls};

use crate::schema::Generation;

/// The database that every cluster has, with PlanExe's tables and no rows, to copy others from.
pub const TEMPLATE: &str = "planexe_template";

/// What a small private server needs. The caller's own settings come after these and win.
const SETTINGS: [(&str, &str); 8] = [
    ("listen_addresses", "127.0.0.1"),
    ("unix_socket_directories", ""),
    ("max_connections", "200"),
    ("wal_level", "minimal"),
    ("max_wal_senders", "0"),
    ("min_wal_size", "32MB"),
    ("max_wal_size", "256MB"),
    ("timezone", "UTC"),
];

// Shell scripts. In each, `$0` is the folder of Postgres's programs or the data folder.

/// Prints the folder of Postgres's programs, of the version `$1` if that is given.
const FIND: &str = include_str!("cluster/find.sh");

/// Makes data in the empty folder `$1`; `$2` is one more option of initdb. Passwords are checked, but not at the price
/// of SCRAM, since this one is no secret.
const MAKE: &str = r#""$0/initdb" -D "$1" --username=postgres --auth-local=reject --auth-host=password --locale=C \
    --encoding=UTF8 $2 && echo "CREATE ROLE planexe LOGIN CREATEDB PASSWORD 'planexe' IN ROLE pg_monitor, \
    pg_signal_backend" | "$0/postgres" --single -D "$1" postgres"#;

/// Sends the signal `$1` to the postmaster, then to its children.
const SIGNAL: &str = r#"read -r pid <"$0/postmaster.pid" && kill -s "$1" "$pid" &&
    kill -s "$1" $(cat "/proc/$pid/task/$pid/children" 2>/dev/null || pgrep -P "$pid")"#;

/// Ends the server when its standard input closes, which happens however this process ends. SIGQUIT is Postgres's
/// "immediate" shutdown, and a frozen server has to continue for it.
const END_WITH_INPUT: &str = r#"read -r pid <"$0/postmaster.pid"; read -r _; kill -QUIT "$pid"; kill -CONT "$pid""#;

/// How to start a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterOptions {
    /// Forget the data of earlier starts.
    pub fresh: bool,
    /// Settings of the server, name and value, such as `("fsync", "off")`.
    pub settings: Vec<(String, String)>,
    /// Whose tables [`TEMPLATE`] has.
    pub generation: Generation,
}

/// A running cluster. The server ends when this value is dropped.
pub struct Cluster {
    port: u16,
    data: PathBuf,
    /// The folder of Postgres's programs.
    programs: PathBuf,
    /// Who runs them, if not this process's own account.
    account: Option<User>,
    /// The shell that ends the server with this process; `None` while no server runs.
    watch: Mutex<Option<Child>>,
    _lock: File,
}

impl Cluster {
    /// Starts the cluster of this folder; makes folder and data when there are none.
    ///
    /// # Errors
    /// When there is no Postgres on this machine, when another process uses the folder, or when
    /// the server does not start. Each says in one line what to do.
    pub async fn start(folder: &Path, options: ClusterOptions) -> Result<Self> {
        let (folder, generation) = (folder.to_path_buf(), options.generation);
        let started = tokio::task::spawn_blocking(move || Self::prepare(&folder, &options)).await;
        let cluster = started.context("the start of the database was interrupted")??;
        // Made anew: the schema may be another than at the last start.
        let schema = async {
            cluster.drop_database(TEMPLATE).await?;
            cluster.create_database(TEMPLATE, None).await?;
            cluster.run(TEMPLATE, generation.tables()).await
        };
        schema.await.context("cannot load the database schema")?;
        Ok(cluster)
    }

    /// Everything up to a server that takes connections.
    fn prepare(folder: &Path, options: &ClusterOptions) -> Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let folder = folder.canonicalize()?;
        let lock = lock(&folder)?;
        let account = account()?;
        let data = place(&folder, account.as_ref())?.join("data");
        let version = fs::read_to_string(data.join("PG_VERSION")).unwrap_or_default();
        let version = if options.fresh { "" } else { version.trim() };
        let programs = output(Command::new("/bin/sh").args(["-c", FIND, "", version]))?.into();
        let mut cluster = Self {
            port: 0,
            data,
            programs,
            account,
            watch: Mutex::new(None),
            _lock: lock,
        };
        let ended = cluster.end_leftover();
        ended.context("cannot end an earlier database server")?;
        if options.fresh && cluster.data.exists() {
            fs::remove_dir_all(&cluster.data).context("cannot remove the data of earlier starts")?;
        }
        if !cluster.data.exists() {
            let made = cluster.make_data(options);
            made.context("cannot make the database's folder")?;
        }
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let free = free.context("there is no free port for the database")?;
        cluster.port = free.local_addr()?.port();
        drop(free);
        cluster.configure(options)?;
        cluster.launch()?;
        Ok(cluster)
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The address of one of its databases.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://planexe:planexe@127.0.0.1:{}/{database}", self.port)
    }

    /// The folder with its data and the server's log `postgres.log`.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Makes a database: a copy of `template`, usually [`TEMPLATE`], or an empty one.
    ///
    /// # Errors
    /// When there is one of this name already ([`tokio_postgres::error::SqlState::DUPLICATE_DATABASE`]), or the server
    /// does not answer.
    pub async fn create_database(&self, name: &str, template: Option<&str>) -> Result<()> {
        let (database, template) = (quoted(name), quoted(template.unwrap_or("template0")));
        self.run("postgres", &format!("CREATE DATABASE {database} TEMPLATE {template}"))
            .await
            .with_context(|| format!("cannot make the database {name}"))
    }

    /// Removes a database and disconnects its clients; one that is not there is no error.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn drop_database(&self, name: &str) -> Result<()> {
        let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(name));
        let dropped = self.run("postgres", &sql).await;
        dropped.with_context(|| format!("cannot remove the database {name}"))
    }

    /// Halts every process of the server: connections are taken and never answered.
    pub fn freeze(&self) {
        self.signal("STOP");
    }

    /// Lets a frozen server go on.
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    /// Ends the server at once: connections break and are refused, and the next start recovers as after a crash.
    pub fn kill(&self) {
        self.end("immediate");
    }

    /// Starts the server again on the same port with the same settings and data. Blocks the thread.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub async fn restart(&self) -> Result<()> {
        self.end("fast");
        self.launch()
    }

    /// Ends the server in order: clients are disconnected, the data is written.
    pub async fn stop(self) {
        // Only a panic there could fail, and dropping it ends the server too.
        _ = tokio::task::spawn_blocking(move || self.end("fast")).await;
    }

    fn signal(&self, signal: &str) {
        let mut shell = self.shell(SIGNAL, &self.data);
        // Without effect when the server does not run.
        _ = output(shell.arg(signal));
    }

    /// Starts the server, and the shell that ends it with this process.
    fn launch(&self) -> Result<()> {
        let log = self.data.join("postgres.log");
        let started = output(self.pg_ctl("start").arg("-l").arg(&log));
        started.with_context(|| format!("the database server did not start, {} says why", log.display()))?;
        let mut shell = self.shell(END_WITH_INPUT, &self.data);
        shell.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // Ctrl-C at a terminal is for this process alone.
        let shell = shell.process_group(0).spawn().context("cannot start /bin/sh")?;
        *self.watch.lock().unwrap_or_else(PoisonError::into_inner) = Some(shell);
        Ok(())
    }

    /// Ends the server, if it runs. Should that fail, the next start fails too and says why.
    fn end(&self, mode: &str) {
        let Some(mut shell) = self.watch.lock().unwrap_or_else(PoisonError::into_inner).take() else {
            return;
        };
        self.thaw();
        if output(self.pg_ctl("stop").args(["-m", mode])).is_err() {
            _ = output(self.pg_ctl("stop").args(["-m", "immediate"]));
        }
        // Before its input closes, so that it signals no other process.
        _ = shell.kill().and_then(|()| shell.wait());
    }

    /// Ends a server that a killed process left behind. Only one that takes connections: after a crash of the machine,
    /// the process id in its file may be that of any program.
    fn end_leftover(&self) -> Result<()> {
        let file = self.data.join("postmaster.pid");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let port = text.lines().nth(3).and_then(|port| port.parse().ok()).unwrap_or(0);
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok() {
            output(self.pg_ctl("stop").args(["-m", "immediate"]))?;
        } else if file.exists() {
            fs::remove_file(file)?;
        }
        Ok(())
    }

    /// Makes the data folder, under another name first: one that is there is complete.
    fn make_data(&self, options: &ClusterOptions) -> Result<()> {
        let new = self.data.with_extension("new");
        if new.exists() {
            fs::remove_dir_all(&new)?;
        }
        fs::create_dir(&new)?;
        if let Some(user) = &self.account {
            chown(&new, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
        }
        let is_unsafe = options.settings.contains(&("fsync".to_owned(), "off".to_owned()));
        let sync = if is_unsafe { "--no-sync" } else { "" };
        output(self.shell(MAKE, &self.programs).arg(&new).arg(sync))?;
        Ok(fs::rename(new, &self.data)?)
    }

    /// Writes the settings to the file that Postgres reads last.
    fn configure(&self, options: &ClusterOptions) -> Result<()> {
        let own = options.settings.iter().map(|(name, value)| (&**name, &**value));
        let port = self.port.to_string();
        let settings = SETTINGS.into_iter().chain([("port", &*port)]).chain(own);
        let lines = settings.map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")));
        let written = fs::write(self.data.join("postgresql.auto.conf"), lines.collect::<String>());
        written.context("cannot write the settings of the database")
    }

    /// `pg_ctl` with this action, silent, and waiting for the end of it.
    fn pg_ctl(&self, action: &str) -> Command {
        let mut command = command(self.account.as_ref(), &self.programs.join("pg_ctl"));
        command.args([action, "-s", "-w", "-D"]).arg(&self.data);
        command
    }

    /// A shell that runs this script with this `$0`.
    fn shell(&self, script: &str, first: &Path) -> Command {
        let mut command = command(self.account.as_ref(), Path::new("/bin/sh"));
        command.args(["-c", script]).arg(first);
        command
    }

    async fn connect(&self, database: &str) -> Result<(Client, tokio::task::JoinHandle<()>)> {
        let connected = tokio_postgres::connect(&self.url(database), NoTls).await;
        let (client, connection) = connected.context("cannot connect to the database")?;
        // An error of the connection reaches the client as well.
        Ok((client, tokio::spawn(async move { drop(connection.await) })))
    }

    /// Runs statements in one of its databases, all or none of them.
    ///
    /// # Errors
    /// When the server does not answer, or refuses one of them.
    pub async fn run(&self, database: &str, sql: &str) -> Result<()> {
        let (client, connection) = self.connect(database).await?;
        client.batch_execute(sql).await?;
        drop(client);
        Ok(connection.await?)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.end("immediate");
    }
}

/// The account that runs the server in place of root; `None` for this process's own.
fn account() -> Result<Option<User>> {
    if !geteuid().is_root() {
        return Ok(None);
    }
    let mut names = ["postgres", "nobody"].into_iter();
    let user = names.find_map(|name| User::from_name(name).ok()?);
    let missing = "Postgres does not run as root, and this machine has neither an account `postgres` nor `nobody`";
    user.context(missing).map(Some)
}

/// A command in a plain environment, run by the account.
fn command(account: Option<&User>, program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("LC_ALL", "C").current_dir("/");
    command.stdin(Stdio::null());
    if let Some(user) = account {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// The standard output of a command; when it fails, its standard error is the error.
fn output(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot run {name}"))?;
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().replace('\n', " ");
    ensure!(output.status.success(), "{}", text(output.stderr));
    Ok(text(output.stdout))
}

/// Where the data goes: the folder itself, or one of `/var/tmp` when the account cannot enter it, as in root's home.
fn place(folder: &Path, account: Option<&User>) -> Result<PathBuf> {
    let enters = ["-c", "cd \"$0\""];
    if account.is_none() || output(command(account, Path::new("/bin/sh")).args(enters).arg(folder)).is_ok() {
        return Ok(folder.to_path_buf());
    }
    let name = folder.to_string_lossy().replace('/', "-");
    let place = PathBuf::from(format!("/var/tmp/planexe{name}"));
    fs::create_dir_all(&place)?;
    let found = place.symlink_metadata()?;
    // Every account may make folders there: only root's own can be trusted.
    let is_ours = found.is_dir() && found.uid() == 0;
    ensure!(is_ours, "{} does not belong to root: remove it", place.display());
    fs::set_permissions(&place, Permissions::from_mode(0o711))?;
    Ok(place)
}

/// Locks the folder for this process, and leaves the process's id in it.
fn lock(folder: &Path) -> Result<File> {
    let (lock, pid) = (File::open(folder)?, folder.join("pid"));
    match lock.try_lock() {
        Err(TryLockError::WouldBlock) => bail!(
            "the database folder {} is in use by process {}: stop that one, or use the server that it runs",
            folder.display(),
            fs::read_to_string(pid).unwrap_or_default()
        ),
        locked => locked?,
    }
    fs::write(pid, std::process::id().to_string())?;
    Ok(lock)
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
