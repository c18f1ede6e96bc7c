//! The whole stack on one machine: the component in Spin or in the local host, and what it needs. Ends all that it
//! started when it ends.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::host::server::Server;
use crate::schema::Generation;
use crate::settings::{self, Variables};
use crate::stack::{self, Stack};

/// The oldest Spin that runs the component, by its major version.
const OLDEST_SPIN: u32 = 3;
/// How long Spin may take to its first answer.
const SPIN_START: Duration = Duration::from_secs(60);
/// How long Spin may take to end.
const SPIN_END: Duration = Duration::from_secs(10);
/// How long requests may go on when the local host ends.
const GRACE: Duration = Duration::from_secs(2);

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

/// How to start the server.
#[derive(Debug, Clone, clap::Args)]
pub struct UpOptions {
    /// The port to serve on [default: `PORT`, `PLANEXE_MCP_HTTP_PORT` or 8001].
    #[arg(long)]
    pub port: Option<u16>,
    /// What runs the component.
    #[arg(long = "host", value_enum, default_value = "auto")]
    pub engine: Engine,
    /// Forget the tasks of earlier runs.
    #[arg(long)]
    pub fresh: bool,
    /// Milliseconds that an LLM call of the sample worker takes.
    #[arg(long, default_value_t = 150)]
    pub step: u64,
    /// A folder or zip of a real run, which the sample worker hands out in place of samples.
    #[arg(long, value_name = "PATH")]
    pub serve: Option<PathBuf>,
    /// The sample worker hands out files but makes no plans: new tasks stay pending.
    #[arg(long)]
    pub no_plans: bool,
    /// The generation of PlanExe whose tables and worker the stack has; each has its own tasks.
    #[arg(long, value_enum, default_value = "feb")]
    pub planexe: Generation,
    /// The folder with spin.toml.
    #[arg(long, default_value = ".")]
    pub project: PathBuf,
}

/// A running server, with all it needs.
pub struct Up {
    /// How clients on this machine reach it.
    address: SocketAddr,
    engine: Engine,
    serving: JoinHandle<Result<()>>,
    stop: oneshot::Sender<()>,
    stack: Stack,
}

impl Up {
    /// Starts the server with these variables as its environment, see [`settings::of_project`]. Returns when it answers;
    /// `say` tells the person what is going on.
    ///
    /// # Errors
    /// What keeps it from starting, in one line with what to do about it.
    pub async fn start(options: UpOptions, mut variables: Variables, say: fn(&str)) -> Result<Self> {
        if let Some(port) = options.port {
            variables.insert("PORT".to_owned(), port.to_string());
        }
        // First, since a port that is taken is the most common failure.
        let address = settings::listener(&variables)?;
        let listener = Server::bind(address).await.map_err(|error| {
            anyhow!(
                "{error:#}: end the program that uses port {}, or choose another port: scripts/up --port {}, or set \
                 PLANEXE_MCP_HTTP_PORT or PORT in the environment or in .env",
                address.port(),
                address.port().wrapping_add(1)
            )
        })?;
        let (listens, address) = (listener.local_addr(), reachable(listener.local_addr()));
        let engine = choose(options.engine, &variables, say).await?;
        let stack = Stack::start(&options, &mut variables, say).await?;
        let project = &options.project;
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { _ = stopped.await };
        let serving = if engine == Engine::Spin {
            drop(listener);
            let mut command = spin(&variables);
            command.args(["up", "--listen", &listens.to_string(), "--from"]);
            command.arg(project.join("spin.toml")).arg("--runtime-config-file");
            command.arg(project.join("runtime-config.toml")).stdout(Stdio::null());
            // Not the project: Spin would read `.env` there once more, with the blank values that are left out.
            command.current_dir(project.join("target"));
            let mut spin = Spin(command.spawn().context("cannot start spin")?);
            spin.first_answer(address).await?;
            tokio::spawn(spin.serve(stopped))
        } else {
            say("Compiling the component to machine code (cached for the next start) ...");
            let host = stack::load(project, &variables).await?;
            tokio::spawn(async move {
                host.serve(listener.with_grace(GRACE), stopped).await;
                Ok(())
            })
        };
        Ok(Self {
            address,
            engine,
            serving,
            stop,
            stack,
        })
    }

    /// The address of the server, such as `http://127.0.0.1:8001`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the server ends by itself.
    ///
    /// # Errors
    /// Why it has ended.
    pub async fn ended(&mut self) -> Result<()> {
        (&mut self.serving).await?
    }

    /// Ends it, and all that was started for it.
    pub async fn stop(self) {
        // It fails when the server has ended by itself.
        _ = self.stop.send(());
        if !self.serving.is_finished() {
            _ = self.serving.await;
        }
        self.stack.stop().await;
    }
}

/// Starts the server, says how to use it, and serves until Ctrl-C or a termination signal.
///
/// # Errors
/// What keeps it from starting or ended it, in one line with what to do about it.
pub async fn run(mut options: UpOptions, environment: Variables) -> Result<()> {
    options.project = std::path::absolute(options.project)?;
    let variables = settings::of_project(&options.project, environment)?;
    let has_key = settings::value(&variables, "PLANEXE_MCP_API_KEY").is_some();
    let mut up = tokio::select! {
        started = Up::start(options, variables, say) => started?,
        // What has been started has ended by now; a compilation that is under way would delay a return.
        () = end_signal() => std::process::exit(0),
    };
    welcome(&up, has_key);
    let served = tokio::select! {
        biased;
        () = end_signal() => Ok(()),
        ended = up.ended() => ended,
    };
    say("Ending ...");
    up.stop().await;
    served
}

/// A running Spin.
struct Spin(Child);

impl Spin {
    async fn first_answer(&mut self, address: SocketAddr) -> Result<()> {
        let connected = async {
            while TcpStream::connect(address).await.is_err() {
                sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::select! {
            ended = self.0.wait() => bail!("spin ended before its first answer: {}", ended?),
            connected = timeout(SPIN_START, connected) => connected.context("spin does not answer"),
        }
    }

    /// Waits until it ends, or ends it when `stopped` completes.
    async fn serve(mut self, stopped: impl Future<Output = ()>) -> Result<()> {
        tokio::select! {
            ended = self.0.wait() => ensure!(ended?.success(), "spin ended"),
            () = stopped => {
                self.interrupt();
                if timeout(SPIN_END, self.0.wait()).await.is_err() {
                    self.0.kill().await?;
                }
            }
        }
        Ok(())
    }

    /// Asks it to end, as Ctrl-C does: killed, it would leave its own child process behind.
    fn interrupt(&self) {
        if let Some(id) = self.0.id().and_then(|id| i32::try_from(id).ok()) {
            // It may have ended by itself.
            _ = kill(Pid::from_raw(id), Signal::SIGINT);
        }
    }
}

impl Drop for Spin {
    fn drop(&mut self) {
        self.interrupt();
    }
}

/// A call of the Spin that the variables name or that is on their PATH, with these variables alone.
fn spin(variables: &Variables) -> Command {
    let mut command = Command::new(settings::value(variables, "SPIN").unwrap_or("spin"));
    command.env_clear().envs(variables);
    command
}

/// What runs the component: Spin or the local host.
async fn choose(engine: Engine, variables: &Variables, say: fn(&str)) -> Result<Engine> {
    if engine == Engine::Local {
        return Ok(engine);
    }
    let output = spin(variables).arg("--version").output().await;
    let version = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let version = version.unwrap_or_default();
    let too_old = format!("{version} is too old: the component needs Spin {OLDEST_SPIN}.0 or later");
    match (engine, major(&version)) {
        (_, Some(OLDEST_SPIN..)) => return Ok(Engine::Spin),
        (Engine::Spin, Some(_)) => bail!(too_old),
        (Engine::Spin, None) => bail!(
            "spin is not on PATH: install Spin {OLDEST_SPIN}.0 or later (https://spinframework.dev), or use --host local"
        ),
        (_, Some(_)) => say(&format!("{too_old}. Using the local host.")),
        (_, None) => {}
    }
    Ok(Engine::Local)
}

/// The major version in `spin 4.1.0 (…)`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix("spin ")?.split('.').next()?.parse().ok()
}

/// How a client on this machine reaches a listener.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
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
fn welcome(up: &Up, has_key: bool) {
    let engine = if up.engine == Engine::Spin {
        "Spin"
    } else {
        "the local host"
    };
    let url = up.url();
    let mut server = json!({ "type": "http", "url": format!("{url}/mcp") });
    let (mut warning, mut key) = (
        "\nNo PLANEXE_MCP_API_KEY is set: anybody who reaches this port may use it.\n",
        "",
    );
    if has_key {
        (warning, key) = ("", "PLANEXE_MCP_API_KEY=<your key> ");
        let headers = json!({ "X-API-Key": "<your PLANEXE_MCP_API_KEY>" });
        _ = server
            .as_object_mut()
            .map(|server| server.insert("headers".to_owned(), headers));
    }
    let client = json!({ "mcpServers": { "planexe": server } });
    let is_default = up.address.port() == settings::DEFAULT_PORT;
    let option = if is_default {
        String::new()
    } else {
        format!(" --url {url}")
    };
    say(&format!(
        "\nServing MCP at {url}/mcp ({engine}). Ctrl-C ends it.\n{warning}\n\
         Connect an MCP client; most take this configuration:\n\n{client:#}\n\n\
         Or try it from another terminal:\n\n  {key}scripts/demo{option} \"Open a bakery in Lyon\"\n"
    ));
}

/// A line for the person at the terminal. A closed terminal is no reason to stop.
fn say(text: &str) {
    _ = writeln!(std::io::stdout(), "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, expected) in [
            ("spin 4.1.0 (abc 2026-09-01)", Some(4)),
            ("spin 10.0.0-pre0", Some(10)),
            ("Spin model checker", None),
        ] {
            assert_eq!(major(text), expected, "{text}");
        }
    }
}
