//! The whole stack on one machine: a private Postgres and the sample worker where nothing else is configured, and the
//! component in Spin or in the local host. Ends all that it started when it ends.

use std::io::{IsTerminal as _, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use tokio::process::{Child, Command};

use crate::host::server::Server;
use crate::settings::{self, Variables};
use crate::stack::{self, Stack, StackOptions};

/// The oldest Spin that runs the component.
const OLDEST_SPIN: (u32, u32) = (4, 1);
/// How long Spin may take to its first answer.
const SPIN_LIMIT: Duration = Duration::from_secs(60);

/// What runs the component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// Spin when a fitting one is on PATH, else the local host.
    Auto,
    /// Spin.
    Spin,
    /// The local host.
    Local,
}

/// How to start the stack.
#[derive(Debug, Clone)]
pub struct UpOptions {
    /// The folder with `spin.toml`.
    pub project: PathBuf,
    /// The environment, as [`settings::of_project`] makes it.
    pub variables: Variables,
    /// What runs the component.
    pub engine: Engine,
    /// Forget the data of the private Postgres.
    pub fresh: bool,
    /// Time of one LLM call of the sample worker.
    pub step: Duration,
    /// A folder or zip of a real run for the sample worker to hand out.
    pub serve: Option<PathBuf>,
    /// Whether the sample worker makes plans. If not, it only hands out files.
    pub plans: bool,
}

/// Starts the stack, says how to use it, and serves until Ctrl-C or a termination signal.
///
/// # Errors
/// What keeps it from starting, in one line with what to do about it.
pub async fn run(options: UpOptions) -> Result<()> {
    let UpOptions {
        project,
        mut variables,
        engine,
        fresh,
        step,
        serve,
        plans,
    } = options;
    let address = settings::listener(&variables)?;
    // Before anything is started: a port that is taken is the commonest reason to fail.
    let listener = Server::bind(address)
        .await
        .map_err(|error| explain_bind(error, address))?;
    let address = listener.local_addr();
    let engine = choose(engine, &variables).await?;
    let stack = StackOptions {
        project: project.clone(),
        fresh,
        step,
        serve,
        plans,
    };
    let stack = Stack::start(stack, &mut variables, say).await?;
    let served = match engine {
        Engine::Spin => {
            drop(listener);
            serve_with_spin(&project, &variables, address).await
        }
        Engine::Auto | Engine::Local => serve_here(&project, &variables, listener).await,
    };
    say("Ending ...");
    stack.stop().await;
    served
}

/// Serves with the local host until asked to end.
async fn serve_here(project: &Path, variables: &Variables, listener: Server) -> Result<()> {
    say("Compiling the component to machine code (cached for the next start) ...");
    let host = stack::load(project, variables).await?;
    welcome(listener.local_addr(), variables, "the local host");
    host.serve(listener.with_grace(Duration::from_secs(2)), end_signal())
        .await;
    Ok(())
}

/// Serves with Spin until asked to end, or until Spin ends.
async fn serve_with_spin(project: &Path, variables: &Variables, address: SocketAddr) -> Result<()> {
    let mut spin = spin(variables)
        .args(["up", "--listen", &address.to_string(), "--from"])
        .arg(project.join("spin.toml"))
        .arg("--runtime-config-file")
        .arg(project.join("runtime-config.toml"))
        // Not the project: Spin would read `.env` there once more, with the blank values that `variables` leaves out.
        .current_dir(project.join("target"))
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .context("cannot start spin")?;
    tokio::select! {
        ready = wait_for_answer(address) => ready?,
        ended = spin.wait() => bail!("spin ended before its first answer: {}", ended?),
        () = end_signal() => return end(spin).await,
    }
    welcome(address, variables, "Spin");
    tokio::select! {
        ended = spin.wait() => { ensure!(ended?.success(), "spin ended"); Ok(()) }
        () = end_signal() => end(spin).await,
    }
}

/// A call of the `spin` on the PATH of these variables, with these variables alone.
fn spin(variables: &Variables) -> Command {
    let mut command = Command::new("spin");
    command.env_clear().envs(variables);
    command
}

/// Asks Spin to end, as Ctrl-C does, and waits.
async fn end(mut spin: Child) -> Result<()> {
    if let Some(id) = spin.id().and_then(|id| i32::try_from(id).ok()) {
        let signal = nix::sys::signal::Signal::SIGINT;
        // It may have ended by itself.
        _ = nix::sys::signal::kill(nix::unistd::Pid::from_raw(id), signal);
    }
    if tokio::time::timeout(Duration::from_secs(10), spin.wait())
        .await
        .is_err()
    {
        spin.kill().await?;
    }
    Ok(())
}

async fn wait_for_answer(address: SocketAddr) -> Result<()> {
    let attempts = async {
        while tokio::net::TcpStream::connect(reachable(address)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SPIN_LIMIT, attempts)
        .await
        .context("spin does not answer")
}

/// Which of the two runs the component.
async fn choose(engine: Engine, variables: &Variables) -> Result<Engine> {
    if engine == Engine::Local {
        return Ok(engine);
    }
    let version = spin(variables).arg("--version").output().await.ok();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let fits = version
        .as_deref()
        .and_then(parse_version)
        .is_some_and(|version| version >= OLDEST_SPIN);
    let (major, minor) = OLDEST_SPIN;
    match (engine, fits, version) {
        (_, true, _) => Ok(Engine::Spin),
        (Engine::Spin, false, Some(version)) => bail!("{version} is too old: the component needs Spin {major}.{minor}"),
        (Engine::Spin, false, None) => {
            bail!("spin is not on PATH: install Spin {major}.{minor} (https://spinframework.dev) or use --host local")
        }
        (_, false, Some(version)) => {
            say(&format!(
                "{version} is too old (the component needs {major}.{minor}): using the local host."
            ));
            Ok(Engine::Local)
        }
        (_, false, None) => Ok(Engine::Local),
    }
}

/// Major and minor of `spin 4.1.0 (…)`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split_whitespace().nth(1)?.split('.');
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

fn explain_bind(error: anyhow::Error, address: SocketAddr) -> anyhow::Error {
    let port = address.port();
    let kind = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<std::io::Error>())
        .map(std::io::Error::kind);
    match kind {
        Some(std::io::ErrorKind::AddrInUse) => anyhow::anyhow!(
            "port {port} is in use by another program. End it, or choose another port: scripts/up --port {}, or set \
             PLANEXE_MCP_HTTP_PORT or PORT in the environment or in .env",
            port.wrapping_add(1)
        ),
        _ => error,
    }
}

/// How a client on this machine reaches a listener.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address.ip() {
        ip if !ip.is_unspecified() => address,
        IpAddr::V4(_) => ([127, 0, 0, 1], address.port()).into(),
        IpAddr::V6(_) => (std::net::Ipv6Addr::LOCALHOST, address.port()).into(),
    }
}

/// Ctrl-C, or the signal that service managers send.
pub(crate) async fn end_signal() {
    let terminate = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => _ = signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminate => {}
    }
}

/// What a person needs now.
fn welcome(address: SocketAddr, variables: &Variables, engine: &str) {
    let url = format!("http://{}/mcp", reachable(address));
    let key = variables
        .get("PLANEXE_MCP_API_KEY")
        .map(|key| key.trim())
        .filter(|key| !key.is_empty());
    let server = match key {
        None => serde_json::json!({ "type": "http", "url": url }),
        Some(_) => serde_json::json!({
            "type": "http", "url": url, "headers": { "X-API-Key": "<your PLANEXE_MCP_API_KEY>" }
        }),
    };
    let client = serde_json::json!({ "mcpServers": { "planexe": server } });
    let client = serde_json::to_string_pretty(&client).unwrap_or_default();
    let open = if key.is_none() {
        "\nNo PLANEXE_MCP_API_KEY is set: anybody who reaches this port may use it.\n"
    } else {
        ""
    };
    let key_for_demo = if key.is_some() {
        "PLANEXE_MCP_API_KEY=<your key> "
    } else {
        ""
    };
    let url_for_demo = if address.port() == settings::DEFAULT_PORT {
        String::new()
    } else {
        format!(" --url http://{}", reachable(address))
    };
    say(&format!(
        "\nServing MCP at {url} ({engine}). Ctrl-C ends it.\n{open}\n\
         Connect an MCP client; most take this configuration:\n\n{client}\n\n\
         Or try it from another terminal:\n\n  {key_for_demo}scripts/demo{url_for_demo} \"Open a bakery in Lyon\"\n"
    ));
}

/// A line for the person at the terminal. A closed terminal is no reason to stop.
fn say(text: &str) {
    let mut out = std::io::stdout();
    _ = writeln!(out, "{text}");
    if !out.is_terminal() {
        _ = out.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_is_told_with_the_settings_that_choose_another() {
        let taken = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
        let port = taken.local_addr().port().to_string();
        for engine in [Engine::Auto, Engine::Spin, Engine::Local] {
            let options = UpOptions {
                project: PathBuf::from("nowhere"),
                variables: Variables::from([("PORT".to_owned(), port.clone())]),
                engine,
                fresh: false,
                step: Duration::ZERO,
                serve: None,
                plans: true,
            };
            let error = run(options).await.unwrap_err().to_string();
            for part in [
                &*format!("port {port} is in use"),
                "--port",
                "PLANEXE_MCP_HTTP_PORT or PORT",
            ] {
                assert!(error.contains(part), "{engine:?}: {part}: {error}");
            }
        }
    }

    #[test]
    fn versions_are_read() {
        assert_eq!(parse_version("spin 4.1.0 (abc 2026-09-01)"), Some((4, 1)));
        assert_eq!(parse_version("spin 4.1.0-pre0 (abc)"), Some((4, 1)));
        assert!(parse_version("spin 10.0.0").is_some_and(|version| version >= OLDEST_SPIN));
        assert_eq!(parse_version("Spin model checker"), None);
    }
}
