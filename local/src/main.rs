//! The command `planexe-local`. What each subcommand does is in the library.

use std::{path::PathBuf, process::ExitCode};

use anyhow::Result;
use clap::{Parser, Subcommand};
use planexe_local::{
    demo::{self, DemoOptions},
    serve::{self, ServeOptions},
    settings::{self, Variables},
    stdio::{self, StdioOptions},
    up::{self, UpOptions},
};

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
    Stdio(StdioOptions),
    /// Have a plan made by a running server and save its report.
    Demo(DemoOptions),
    /// Serve a Spin application, as `spin up` does: for tests.
    Serve(ServeOptions),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Up(options) => up::run(options, environment()).await,
        Command::Stdio(stdio) => converse(stdio).await,
        Command::Demo(demo) => walk(demo).await,
        Command::Serve(options) => serve::run(options).await,
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report(&error);
            ExitCode::FAILURE
        }
    }
}

#[expect(clippy::print_stderr, reason = "the last word to the person at the terminal")]
fn report(error: &anyhow::Error) {
    eprintln!("planexe-local: {error:#}");
}

/// The environment, without values that are not Unicode.
fn environment() -> Variables {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

async fn converse(mut stdio: StdioOptions) -> Result<()> {
    let project = stdio
        .project
        .take()
        .map_or_else(checkout, |project| Ok(std::path::absolute(project)?))?;
    stdio.url = stdio.url.filter(|url| !url.trim().is_empty());
    let variables = match stdio.url {
        // The key in `.env` is for the server of this checkout: no other server gets it.
        Some(_) => environment(),
        None => settings::of_project(&project, environment())?,
    };
    let served = stdio::run(stdio, &project, variables).await;
    _ = served.as_ref().inspect_err(|error| report(error));
    // The runtime would wait for a read of standard input that may never return. All else has ended.
    std::process::exit(i32::from(served.is_err()))
}

/// The checkout that this program lies in, else the working folder: clients start it in any.
fn checkout() -> Result<PathBuf> {
    let program = std::env::current_exe()?.canonicalize()?;
    let mut folders = program.ancestors();
    let checkout = folders.find(|folder| folder.join("spin.toml").is_file());
    Ok(checkout.map_or_else(std::env::current_dir, |folder| Ok(folder.to_path_buf()))?)
}

async fn walk(mut demo: DemoOptions) -> Result<()> {
    let mut variables = environment();
    let url = match demo.url.take() {
        Some(url) => url,
        None => {
            variables = settings::of_project(&checkout()?, variables)?;
            format!("http://127.0.0.1:{}", settings::listener(&variables)?.port())
        }
    };
    let key = demo.key.take().or_else(|| variables.remove("PLANEXE_MCP_API_KEY"));
    demo::run(&url, key.as_deref(), demo).await
}
