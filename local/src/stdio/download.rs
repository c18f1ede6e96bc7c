//! `task_download`: the tool that only stdio has, since only here is the server on the user's machine.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::bridge::Bridge;
use super::message::Request;
use super::results::ToolAnswer;
use super::save::{self, Target};
use super::upstream::Failure;

/// The name of the tool.
pub(super) const NAME: &str = "task_download";
/// What the server's instructions say beside their own words.
pub(super) const INSTRUCTIONS: &str = " On this connection task_download saves a completed plan on the user's machine \
    and checks it: once state is completed, call it rather than task_file_info, and tell the user the saved_path.";

/// The longest wait for a task's end, in seconds.
const LONGEST_WAIT: u64 = 3600;
/// Between two looks at a task: the first, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// This many failed looks in a row end the wait.
const ATTEMPTS: u32 = 5;

#[derive(Deserialize)]
struct Arguments {
    task_id: String,
    #[serde(default)]
    artifact: Artifact,
    #[serde(default)]
    wait_seconds: u64,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Artifact {
    #[default]
    Report,
    Zip,
}

impl Artifact {
    const fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Zip => "zip",
        }
    }
}

/// The tool as `tools/list` shows it. It has the icon of the others.
pub(super) fn definition(icons: Option<Value>) -> Value {
    let mut tool = json!({
        "name": NAME,
        "title": "Save the plan",
        "description": "Saves a finished plan on the user's machine, in the folder PLANEXE_PATH: the HTML report, or \
            with artifact zip all files of the run. Compares size and sha256, never overwrites a file, and returns \
            saved_path: give it to the user. Call it once task_status says completed; before that it answers ready: \
            false, or waits first with wait_seconds. Calling it again finds the file that is there. Free.",
        "inputSchema": {
            "type": "object",
            "additionalProperties": false,
            "properties": {
                "task_id": { "type": "string", "description": "The `task_id` that `task_create` returned." },
                "artifact": {
                    "type": "string",
                    "enum": ["report", "zip"],
                    "default": "report",
                    "description": "report: the plan as one HTML page. zip: every file of the run.",
                },
                "wait_seconds": {
                    "type": "integer",
                    "minimum": 0,
                    "maximum": LONGEST_WAIT,
                    "default": 0,
                    "description": "How long to wait for the end of a task that is still being worked on. Only for \
                        clients that wait that long for an answer; others ask task_status.",
                },
            },
            "required": ["task_id"],
        },
        // Nothing is required, because clients check errors against it too.
        "outputSchema": {
            "type": "object",
            "properties": {
                "saved_path": { "type": "string", "description": "Where the file is, on the user's machine." },
                "content_type": { "type": "string", "description": "Media type of the file." },
                "sha256": { "type": "string", "description": "Hex SHA-256 of the file, compared." },
                "download_size": { "type": "integer", "description": "Size of the file in bytes, compared." },
                "already_saved": {
                    "type": "boolean",
                    "description": "Set when the same file was there before: nothing was written now.",
                },
                "ready": { "type": "boolean", "description": "false when there is no file yet; unset otherwise." },
                "reason": { "type": "string", "description": "Why the file is not there." },
                "state": { "type": "string", "description": "State of the task, as in `task_status`." },
                "progress_percentage": { "type": "number", "description": "0 to 100." },
                "error": {
                    "type": "object",
                    "description": "Set when the call failed; nothing else is set then.",
                    "properties": {
                        "code": { "type": "string", "description": "Stable code, for programs." },
                        "message": { "type": "string", "description": "What happened and what to do." },
                        "details": { "type": "object", "description": "What a program can make use of." },
                    },
                    "required": ["code", "message"],
                },
            },
        },
        "annotations": {
            "readOnlyHint": false, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false,
        },
    });
    if let (Some(icons), Some(tool)) = (icons, tool.as_object_mut()) {
        tool.insert("icons".to_owned(), icons);
    }
    tool
}

/// How a call ends that is no success.
pub(super) enum End {
    /// In an answer of the server, passed on as it is.
    Passed(ToolAnswer),
    /// In an error of our own.
    Failed(Failure),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Calls the tool; the server's own envelope around a result of ours.
pub(super) async fn call(request: &Request, bridge: &Bridge) -> Result<ToolAnswer, End> {
    let arguments = parse(request.params.arguments.as_ref())?;
    // It becomes part of file names.
    let Ok(id) = Uuid::try_parse(arguments.task_id.trim()) else {
        let text = "No task has this task_id. Use the task_id that task_create returned, unchanged.";
        return Err(Failure::new("TASK_NOT_FOUND", text).into());
    };
    let folder = folder(bridge.folder.as_deref())?;
    let info = json!({ "task_id": id.to_string(), "artifact": arguments.artifact.name() });
    let mut answer = bridge.call_tool(request, "task_file_info", &info).await?;
    let mut told = -1.0;
    if arguments.wait_seconds > 0 && is_on_its_way(&answer) {
        let end = Instant::now() + Duration::from_secs(arguments.wait_seconds);
        told = wait(id, end, request, bridge).await?;
        answer = bridge.call_tool(request, "task_file_info", &info).await?;
    }
    let word = |name: &str| answer.content.get(name).and_then(Value::as_str).map(ToOwned::to_owned);
    let Some(url) = word("download_url") else {
        return Err(End::Passed(answer));
    };
    // Also where the plan was there before anybody looked.
    if let Some(token) = request.params.progress_token().filter(|_| told < 100.0) {
        bridge.progress(&token, 100.0, "Saving the plan.").await;
    }
    let size = answer.content.get("download_size").and_then(Value::as_u64);
    let (Some(sha256), Some(size)) = (word("sha256"), size) else {
        let text = "The server does not say size and SHA-256 of the file, so that it cannot be checked. Nothing was \
            saved: open the download_url of task_file_info instead.";
        return Err(Failure::new("DOWNLOAD_UNCHECKED", text).into());
    };
    let (stem, end) = match arguments.artifact {
        Artifact::Report => (format!("{id}-030-report"), ".html"),
        Artifact::Zip => (id.to_string(), ".zip"),
    };
    let target = Target {
        folder,
        stem,
        end,
        size,
        sha256: sha256.to_ascii_lowercase(),
    };
    let there = tokio::task::spawn_blocking({
        let target = target.clone();
        move || target.find()
    });
    let (path, already) = match there.await.ok().flatten() {
        Some(path) => (path, true),
        None => save::save(bridge.get(&url).await?, target.clone()).await?,
    };
    let mut saved = json!({
        "saved_path": path.to_string_lossy(),
        "content_type": word("content_type"),
        "sha256": target.sha256,
        "download_size": size,
    });
    if let Some(saved) = saved.as_object_mut() {
        saved.retain(|_, value| !value.is_null());
        if already {
            saved.insert("already_saved".to_owned(), true.into());
        }
    }
    Ok(answer.with(saved))
}

/// Reads the arguments, and says of a wrong one what it must be.
fn parse(arguments: Option<&Value>) -> Result<Arguments, Failure> {
    let wrong = |text: &str| Err(Failure::new("INVALID_ARGUMENT", text));
    let mut arguments: Map<String, Value> = match arguments {
        None | Some(Value::Null) => Map::new(),
        Some(Value::Object(arguments)) => arguments.clone(),
        Some(_) => return wrong("The arguments must be an object."),
    };
    // Models write null for what they leave out.
    arguments.retain(|_, value| !value.is_null());
    for (name, value) in &arguments {
        let text = match name.as_str() {
            "task_id" if !value.is_string() => "task_id must be a string.",
            "artifact" if value != "report" && value != "zip" => "artifact must be one of \"report\", \"zip\".",
            "wait_seconds" if value.as_u64().is_none_or(|seconds| seconds > LONGEST_WAIT) => {
                "wait_seconds must be a whole number from 0 to 3600."
            }
            "task_id" | "artifact" | "wait_seconds" => continue,
            _ => "One argument is unknown: allowed are artifact, task_id, wait_seconds.",
        };
        return wrong(text);
    }
    if !arguments.contains_key("task_id") {
        return wrong("task_id is missing: it is required.");
    }
    serde_json::from_value(Value::Object(arguments))
        .map_err(|error| Failure::new("INVALID_ARGUMENT", format!("The arguments do not fit: {error}.")))
}

/// The folder for plans.
fn folder(configured: Option<&str>) -> Result<PathBuf, Failure> {
    let advice = "in the environment that your client starts planexe-local with (\"env\" in most configurations), as \
        the full path of a folder that exists, and restart the client";
    let Some(configured) = configured.map(str::trim).filter(|path| !path.is_empty()) else {
        let text = format!("There is no folder to save to. Ask the user to set PLANEXE_PATH {advice}.");
        return Err(Failure::new("PLANEXE_PATH_UNSET", text));
    };
    match std::fs::canonicalize(configured) {
        Ok(folder) if folder.is_dir() => Ok(folder),
        _ => {
            let text = format!("PLANEXE_PATH is {configured:?}, which is no folder. Ask the user to set it {advice}.");
            Err(Failure::new("PLANEXE_PATH_NO_FOLDER", text))
        }
    }
}

/// Whether there is no file, but one is being made.
fn is_on_its_way(answer: &ToolAnswer) -> bool {
    let state = answer.content.get("state").and_then(Value::as_str);
    !answer.is_error && !answer.content.contains_key("download_url") && !state.is_some_and(is_final)
}

fn is_final(state: &str) -> bool {
    matches!(state, "stopping" | "stopped" | "completed" | "failed")
}

/// Waits until the task has ended or the time is over, and tells the client how far it is; the last percentage told.
async fn wait(id: Uuid, end: Instant, request: &Request, bridge: &Bridge) -> Result<f64, End> {
    let token = request.params.progress_token();
    let (mut pause, mut told, mut failures) = (PAUSES.0, -1.0, 0);
    loop {
        let status = bridge
            .call_tool(request, "task_status", &json!({ "task_id": id.to_string() }))
            .await;
        match status {
            Ok(status) if !status.is_error => {
                failures = 0;
                let word = |name: &str| status.content.get(name).and_then(Value::as_str).unwrap_or_default();
                let percentage = status.content.get("progress_percentage").and_then(Value::as_f64);
                // The protocol wants each value to be greater than the one before.
                if let (Some(token), Some(percentage)) = (&token, percentage.filter(|now| *now > told)) {
                    told = percentage;
                    bridge.progress(token, percentage, word("progress_message")).await;
                }
                if is_final(word("state")) {
                    return Ok(told);
                }
            }
            // A server that is away for a moment is no reason to give up a wait of many minutes.
            _ if failures < ATTEMPTS => failures += 1,
            Ok(status) => return Err(End::Passed(status)),
            Err(end) => return Err(end),
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(told);
        }
        sleep(pause.min(left)).await;
        pause = pause.mul_f32(1.5).min(PAUSES.1);
    }
}
