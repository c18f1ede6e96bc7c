//! The main job end to end against a running server, as an MCP client does it: examples, a task, its
//! progress, its files.
//!
//! Talks to the server over HTTP alone. Knows no database, no worker and nothing of how the server is run.

#![expect(clippy::print_stdout, reason = "a program for people at a terminal")]

mod client;
mod download;
mod progress;
#[cfg(test)]
mod tests;

use anyhow::{Context, Result, bail};
use client::{Refusal, Session};
use progress::Progress;
use serde::Deserialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::signal::ctrl_c;
use tokio::time::sleep;
use uuid::Uuid;

/// A prompt with fewer words gets some more.
const SHORT: usize = 40;

const ADDED: &str = "There is no fixed team and no fixed budget yet: assume a small team and the usual costs. Name the \
    phases with dates, the main risks, who is needed, and what has to be decided first. It is a success when the \
    result is in use and those it is for would recommend it.";

/// Between two looks at the progress. An agent would wait for minutes; a person watches.
const POLL: Duration = Duration::from_millis(700);
/// This many failed looks in a row, and the demo gives up.
const ATTEMPTS: u32 = 5;
/// A task that nobody has begun with by then needs a word to the user.
const PATIENCE: Duration = Duration::from_secs(15);

/// What to do.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// The server, such as `http://127.0.0.1:8001`.
    pub base_url: String,
    /// The server's API key, if it wants one.
    pub api_key: Option<String>,
    /// What the plan is for.
    pub goal: String,
    /// The folder for the report and the archive; made if there is none.
    pub out: PathBuf,
    /// `ping`, `fast` or `all`, as `task_create` takes it.
    pub detail: String,
}

#[derive(Deserialize)]
struct Examples {
    samples: Vec<String>,
}

#[derive(Deserialize)]
struct Created {
    task_id: String,
}

#[derive(Deserialize)]
struct Stopped {
    state: String,
}

#[derive(Deserialize, Default)]
struct Status {
    state: String,
    progress_percentage: f64,
    #[serde(default)]
    progress_message: Option<String>,
    #[serde(default)]
    files: Vec<File>,
}

#[derive(Deserialize)]
struct File {
    path: String,
}

#[derive(Deserialize)]
struct FileInfo {
    ready: bool,
    #[serde(default)]
    reason: Option<String>,
    #[serde(default)]
    sha256: String,
    #[serde(default)]
    download_size: u64,
    #[serde(default)]
    download_url: String,
}

/// Walks through the whole job and tells on standard output about it.
///
/// Ctrl-C while the plan is made asks the server to stop the task, which is no error.
///
/// # Errors
///
/// One sentence that says what failed and what to do: no server there, a key missing or refused, a tool
/// that fails, a task that fails, a file that is not what the server said.
pub async fn run(options: DemoOptions) -> Result<()> {
    if options.goal.trim().is_empty() {
        bail!("the goal is empty: say in a few words what the plan is for");
    }
    std::fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot make the folder {}: choose another one", options.out.display()))?;
    let mut session = Session::new(&options.base_url, options.api_key.clone())?;
    let server = session.initialize().await?;
    println!("Connected to {server} at {}.", session.base());

    let examples: Examples = session.call("prompt_examples", json!({})).await?;
    let first = examples.samples.first().map_or("", String::as_str);
    let first: String = first
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .chars()
        .take(70)
        .collect();
    println!(
        "prompt_examples: {} prompts to learn from, the first one begins “{first}…”.",
        examples.samples.len()
    );

    let prompt = prompt(&options.goal);
    let arguments = json!({
        "prompt": prompt,
        "speed_vs_detail": options.detail,
        // A call that is repeated makes no second task.
        "client_request_id": Uuid::new_v4().to_string(),
    });
    let created: Created = session.call("task_create", arguments).await?;
    // It becomes part of file names.
    let task = Uuid::parse_str(&created.task_id)
        .context("the server gave a task id that is no UUID")?
        .to_string();
    println!("task_create: task {task}, detail “{}”.", options.detail);

    if !watch(&mut session, &task).await? {
        return Ok(());
    }
    tokio::select! {
        delivered = deliver(&mut session, &task, &options.out) => delivered,
        _ = ctrl_c() => bail!("interrupted; the plan is complete and can still be fetched"),
    }
}

async fn deliver(session: &mut Session, task: &str, out: &Path) -> Result<()> {
    let report = fetch(session, task, "report", out).await?;
    fetch(session, task, "zip", out).await?;
    let report = report.canonicalize().unwrap_or(report);
    println!("\nNext: open {} in a browser,", report.display());
    println!(
        "or connect an AI agent to {}/mcp and ask it for a plan.",
        session.base()
    );
    Ok(())
}

/// The goal as a prompt: a short one gets some sentences, and the user is told.
fn prompt(goal: &str) -> String {
    let goal = goal.trim();
    if goal.split_whitespace().count() >= SHORT {
        return goal.to_owned();
    }
    println!("The goal is short, so this is added to it: “{ADDED}”");
    let end = if goal.ends_with(['.', '!', '?']) { "" } else { "." };
    format!("{goal}{end}\n\n{ADDED}")
}

/// Shows the progress until the task is completed; false when the user had it stopped.
async fn watch(session: &mut Session, task: &str) -> Result<bool> {
    let mut progress = Progress::new();
    let began = Instant::now();
    let mut is_waiting = true;
    loop {
        let status = tokio::select! {
            status = look(session, task) => status?,
            _ = ctrl_c() => return stop(session, task, progress).await.map(|()| false),
        };
        let message = status.progress_message.as_deref().unwrap_or_default();
        let newest = status.files.first().map(|file| file.path.as_str());
        progress.show(&status.state, status.progress_percentage, message, newest);
        match status.state.as_str() {
            "completed" => {
                progress.end();
                return Ok(true);
            }
            "failed" => bail!("the plan failed: {message} Try again, and look at what the worker says."),
            "stopped" => bail!("somebody stopped the task: {message}"),
            "pending" if is_waiting && began.elapsed() > PATIENCE => {
                is_waiting = false;
                progress.say("No worker has begun with the task yet: is one running? scripts/up starts one.");
            }
            _ => {}
        }
        tokio::select! {
            () = sleep(POLL) => {}
            _ = ctrl_c() => return stop(session, task, progress).await.map(|()| false),
        }
    }
}

/// The status; a server that fails now and then is asked again.
async fn look(session: &mut Session, task: &str) -> Result<Status> {
    let mut attempt = 1;
    loop {
        match session.call("task_status", json!({"task_id": task})).await {
            Ok(status) => return Ok(status),
            Err(error) if attempt == ATTEMPTS || error.downcast_ref::<Refusal>().is_some_and(Refusal::is_final) => {
                return Err(error.context(format!("lost sight of task {task}")));
            }
            Err(_) => attempt += 1,
        }
        sleep(POLL).await;
    }
}

async fn stop(session: &mut Session, task: &str, progress: Progress) -> Result<()> {
    progress.end();
    println!("Asking the server to stop the task.");
    let stopped: Stopped = tokio::select! {
        stopped = session.call("task_stop", json!({"task_id": task})) => stopped?,
        _ = ctrl_c() => bail!("interrupted; the task {task} may go on"),
    };
    println!("task_stop: the task is now “{}”.", stopped.state);
    Ok(())
}

/// Downloads one artifact of a completed task; where it was saved.
async fn fetch(session: &mut Session, task: &str, artifact: &str, out: &Path) -> Result<PathBuf> {
    let arguments = json!({"task_id": task, "artifact": artifact});
    let info: FileInfo = session.call("task_file_info", arguments).await?;
    if !info.ready {
        let reason = info.reason.unwrap_or_default();
        bail!("the {artifact} of task {task} is not there although the task is completed: {reason}");
    }
    let (stem, end) = if artifact == "report" {
        (format!("{task}-report"), ".html")
    } else {
        (task.to_owned(), ".zip")
    };
    let path = download::save(session, &info, out, &stem, end)
        .await
        .with_context(|| format!("cannot download the {artifact}"))?;
    println!(
        "Saved {} ({}, SHA-256 as announced).",
        path.display(),
        size(info.download_size)
    );
    Ok(path)
}

fn size(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} bytes"),
        1_000..1_000_000 => format!("{:.1} kB", bytes as f64 / 1e3),
        _ => format!("{:.1} MB", bytes as f64 / 1e6),
    }
}
