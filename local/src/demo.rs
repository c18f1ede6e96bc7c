//! The main job end to end against a running server, as an MCP client does it: examples, a task, its progress, its
//! files.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};
use rmcp::object;
use serde::Deserialize;
use tokio::signal::ctrl_c;
use uuid::Uuid;

use crate::stdio::{
    client::Client,
    download::{Artifact, Status, Watch, fetch},
};

/// Between two looks at the progress. An agent would wait for minutes; a person watches.
const POLL: Duration = Duration::from_millis(700);
/// A task that no worker has begun with by then needs a word to the user.
const PATIENCE: Duration = Duration::from_secs(15);
/// The longest that a plan may take.
const LIMIT: Duration = Duration::from_secs(24 * 3600);

/// What to do.
#[derive(Debug, clap::Args)]
pub struct DemoOptions {
    /// What the plan is for.
    pub goal: String,
    /// The server [default: the port of scripts/up].
    #[arg(long)]
    pub url: Option<String>,
    /// The server's API key [default: `PLANEXE_MCP_API_KEY`].
    #[arg(long)]
    pub key: Option<String>,
    /// The folder for the plan; made if it does not exist.
    #[arg(long, default_value = "plans")]
    pub out: PathBuf,
    /// ping, fast or all.
    #[arg(long, default_value = "fast")]
    pub detail: String,
}

#[derive(Deserialize)]
struct Examples {
    samples: Vec<String>,
}

#[derive(Deserialize)]
struct Created {
    task_id: Uuid,
}

/// Walks through the whole job with a server and its key, and tells on standard output about it. Ctrl-C while the plan
/// is made asks the server to stop the task, which is not an error.
///
/// # Errors
/// One sentence that says what failed and what to do.
pub async fn run(url: &str, key: Option<&str>, options: DemoOptions) -> Result<()> {
    let client = Client::new(url, key)?;
    let mut running = None;
    tokio::select! {
        done = walk(&client, options, &mut running) => return done,
        _ = ctrl_c() => {}
    }
    let Some(task) = running else { bail!("interrupted") };
    println!("Asking the server to stop the task.");
    tokio::select! {
        stopped = client.tool::<Status>("task_stop", object!({ "task_id": task.to_string() })) => {
            println!("task_stop: the task is now “{}”.", stopped?.state);
            Ok(())
        }
        _ = ctrl_c() => bail!("interrupted; the task {task} may go on"),
    }
}

/// The whole job. `running` is the task while it may have to be stopped.
async fn walk(client: &Client, options: DemoOptions, running: &mut Option<Uuid>) -> Result<()> {
    let DemoOptions { goal, out, detail, .. } = options;
    if goal.trim().is_empty() {
        bail!("the goal is empty: say in a few words what the plan is for");
    }
    let unwritable = || format!("cannot make the folder {}: choose another one", out.display());
    std::fs::create_dir_all(&out).with_context(unwritable)?;
    let server = client.info().await?.server_info.unwrap_or_default();
    println!("Connected to {} {} at {}.", server.name, server.version, client.url);

    let examples: Examples = client.tool("prompt_examples", object!({})).await?;
    println!("prompt_examples: {} prompts to learn from.", examples.samples.len());

    let arguments = object!({ "prompt": goal.trim(), "speed_vs_detail": detail });
    let Created { task_id: task } = client.tool("task_create", arguments).await?;
    println!("task_create: task {task}, detail “{detail}”.");
    *running = Some(task);
    watch(client, task).await?;
    *running = None;

    let mut path = PathBuf::new();
    for artifact in [Artifact::Zip, Artifact::Report] {
        let saved = match fetch(client, task, artifact, &out).await? {
            Ok(saved) => saved,
            Err(not_ready) => bail!("a file is not there although the task is completed: {not_ready}"),
        };
        let size = saved.download_size as f64 / 1e3;
        path = saved.saved_path.canonicalize().unwrap_or(saved.saved_path);
        println!("Saved {} ({size:.1} kB, SHA-256 as announced).", path.display());
    }
    println!("\nNext: open {} in a browser,", path.display());
    println!("or connect an AI agent to {} and ask it for a plan.", client.url);
    Ok(())
}

/// Shows the progress until the task is completed.
async fn watch(client: &Client, task: Uuid) -> Result<()> {
    let began = Instant::now();
    let mut is_waiting = true;
    let mut last = String::new();
    let mut watch = Watch::new(client, task, LIMIT, POLL);
    while let Some(status) = watch.next().await? {
        let (state, message) = (&*status.state, status.progress_message.unwrap_or_default());
        let line = format!("{state} {:3.0} %: {message}", status.progress_percentage);
        if line != last {
            println!("{line}");
            last = line;
        }
        match state {
            "completed" => return Ok(()),
            "failed" => bail!("the plan failed: {message} Look at what the worker says."),
            "stopping" | "stopped" => bail!("the task was stopped: {message}"),
            "pending" if is_waiting && began.elapsed() > PATIENCE => {
                is_waiting = false;
                println!("No worker has begun with the task yet: is one running? scripts/up starts one.");
            }
            _ => {}
        }
    }
    bail!("the task has not ended after a day; look at it with task_status")
}
