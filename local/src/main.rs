//! The command `planexe-local`. What each subcommand does is in the library.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};
use planexe_local::demo::{self, DemoOptions};
use planexe_local::settings::{self, Variables};
use planexe_local::stdio::{self, StdioOptions};
use planexe_local::up::{self, UpOptions};

/// The PlanExe MCP server on the machine you sit at. In production, Spin runs the component.
#[derive(Parser)]
#[command(name = "planexe-local", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start the server with all it needs: a private Postgres and a sample worker, unless the environment or `.env`
    /// names a database.
    Up(UpOptions),
    /// Speak MCP on standard input and output, for clients that start a process.
    Stdio(Stdio),
    /// Have a plan made by a running server and save its report.
    Demo(Demo),
}

#[derive(Args)]
struct Stdio {
    /// A server elsewhere to stand in front of, such as `https://example.org/mcp`; its key is in
    /// `PLANEXE_MCP_API_KEY`. Without it, the component runs in this process.
    #[arg(long, env = "PLANEXE_URL")]
    url: Option<String>,
    /// Milliseconds that an LLM call of the sample worker takes.
    #[arg(long, default_value_t = 150)]
    step: u64,
    /// The folder with spin.toml [default: the checkout that this program was built in].
    #[arg(long)]
    project: Option<PathBuf>,
}

#[derive(Args)]
struct Demo {
    /// What the plan is for.
    goal: String,
    /// The server [default: the port of scripts/up].
    #[arg(long)]
    url: Option<String>,
    /// The server's API key [default: `PLANEXE_MCP_API_KEY`].
    #[arg(long)]
    key: Option<String>,
    /// The folder for the plan.
    #[arg(long, default_value = "plans")]
    out: PathBuf,
    /// ping, fast or all.
    #[arg(long, default_value = "fast")]
    detail: String,
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up::run(options, environment()).await,
        Command::Stdio(stdio) => converse(stdio).await,
        Command::Demo(demo) => walk(demo).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "the last word to the person at the terminal")]
            {
                eprintln!("planexe-local: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}

/// The environment. Values that are no Unicode belong to nobody here.
fn environment() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

async fn converse(stdio: Stdio) -> Result<()> {
    let project = match stdio.project {
        Some(project) => std::path::absolute(project)?,
        None => checkout()?,
    };
    let url = stdio.url.filter(|url| !url.trim().is_empty());
    let variables = match url {
        // The key in `.env` is that of the server here: no other server gets it.
        Some(_) => environment(),
        None => settings::of_project(&project, environment())?,
    };
    let served = stdio::run(StdioOptions {
        project,
        variables,
        url,
        step: Duration::from_millis(stdio.step),
    })
    .await;
    if served.is_ok() {
        // The runtime would wait for a read of standard input that may never return. All else has ended.
        std::process::exit(0);
    }
    served
}

/// The checkout that this program lies in, else the working folder: clients start it in any.
fn checkout() -> Result<PathBuf> {
    let program = std::env::current_exe()?.canonicalize()?;
    let mut folders = program.ancestors();
    let checkout = folders.find(|folder| folder.join("spin.toml").is_file());
    Ok(checkout.map_or_else(std::env::current_dir, |folder| Ok(folder.to_path_buf()))?)
}

async fn walk(demo: Demo) -> Result<()> {
    let mut variables = environment();
    let base_url = match demo.url {
        Some(url) => url.trim_end_matches('/').trim_end_matches("/mcp").to_owned(),
        None => {
            variables = settings::of_project(&checkout()?, variables)?;
            format!("http://127.0.0.1:{}", settings::listener(&variables)?.port())
        }
    };
    demo::run(DemoOptions {
        base_url,
        api_key: demo.key.or_else(|| variables.remove("PLANEXE_MCP_API_KEY")),
        goal: demo.goal,
        out: demo.out,
        detail: demo.detail,
    })
    .await
}
