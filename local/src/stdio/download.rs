//! `task_download`, the tool that only stdio has: here the server's files can be saved on the user's machine. The demo
//! saves in the same way.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use rmcp::{
    RoleServer,
    model::{CallToolResult, JsonObject, ProgressNotificationParam},
    object,
    service::RequestContext,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use super::{
    client::Client,
    failure::Failure,
    save::{Target, save},
};

/// The name of the tool.
pub(super) const NAME: &str = "task_download";
/// The tool as `tools/list` shows it.
pub(super) const DEFINITION: &str = include_str!("task_download.json");
/// What the server's instructions say beside their own words.
pub(super) const INSTRUCTIONS: &str = " On this connection task_download saves a completed plan on the user's machine \
    and checks it: once state is completed, call it rather than task_file_info, and tell the user the saved_path.";

/// The longest wait for a task's end, in seconds.
const LONGEST_WAIT: u64 = 3600;
/// Between two looks at a task, at first.
const PAUSE: Duration = Duration::from_millis(500);
/// Between two looks of `task_download` at a task, later.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Failed looks in a row that do not end the wait: a server that is away for a moment is not a reason to give up.
const FAILURES: u32 = 5;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Arguments {
    task_id: String,
    artifact: Option<Artifact>,
    wait_seconds: Option<u64>,
}

/// What can be saved of a task.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Artifact {
    /// The plan as a page.
    Report,
    /// All files of the run.
    Zip,
}

/// What `task_status` says.
#[derive(Debug, Deserialize)]
pub(crate) struct Status {
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) progress_percentage: f64,
    pub(crate) progress_message: Option<String>,
}

/// What `task_file_info` says of a file that is ready.
#[derive(Deserialize)]
struct FileInfo {
    download_url: String,
    content_type: Option<String>,
    sha256: Option<String>,
    download_size: Option<u64>,
}

/// A file of a plan on this machine, as `task_download` describes it.
#[derive(Serialize)]
pub(crate) struct Saved {
    pub(crate) saved_path: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    sha256: String,
    pub(crate) download_size: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    already_saved: bool,
}

/// Calls the tool.
pub(super) async fn call(
    client: &Client,
    folder: Option<&str>,
    arguments: Option<JsonObject>,
    context: &RequestContext<RoleServer>,
) -> Result<CallToolResult, Failure> {
    let arguments = parse(arguments)?;
    // It becomes part of file names.
    let task = Uuid::try_parse(arguments.task_id.trim()).map_err(|_| {
        let text = "No task has this task_id. Use the task_id that task_create returned, unchanged.";
        Failure::new("TASK_NOT_FOUND", text)
    })?;
    let folder = find_folder(folder)?;
    let mut told = -1.0;
    if let Some(seconds) = arguments.wait_seconds.filter(|seconds| *seconds > 0) {
        let mut watch = Watch::new(client, task, Duration::from_secs(seconds), LONGEST_PAUSE);
        while let Some(status) = watch.next().await? {
            // The protocol wants each value to be greater than the one before.
            if status.progress_percentage > told {
                told = status.progress_percentage;
                tell(context, told, status.progress_message.unwrap_or_default()).await;
            }
        }
    }
    let artifact = arguments.artifact.unwrap_or(Artifact::Report);
    let content = match fetch(client, task, artifact, &folder).await? {
        Ok(saved) => serde_json::to_value(saved).unwrap_or_default(),
        Err(not_ready) => return Ok(CallToolResult::structured(not_ready)),
    };
    if told < 100.0 {
        tell(context, 100.0, "The plan is saved.".to_owned()).await;
    }
    Ok(CallToolResult::structured(content))
}

/// Tells the client how far the request is, if it wants to know.
async fn tell(context: &RequestContext<RoleServer>, percentage: f64, message: String) {
    if let Some(token) = context.meta.get_progress_token() {
        let progress = ProgressNotificationParam::new(token, percentage);
        let progress = progress.with_total(100.0).with_message(message);
        // A client that has gone needs no progress.
        _ = context.peer.notify_progress(progress).await;
    }
}

/// Saves an artifact of a task in a folder, unless it is there already. The inner error is what the server says of a
/// file that is not ready.
///
/// # Errors
/// When the server cannot be asked, or the file cannot be saved as announced.
pub(crate) async fn fetch(
    client: &Client,
    task: Uuid,
    artifact: Artifact,
    folder: &Path,
) -> Result<Result<Saved, Value>, Failure> {
    let (artifact, stem, end) = match artifact {
        Artifact::Report => ("report", format!("{task}-030-report"), ".html"),
        Artifact::Zip => ("zip", task.to_string(), ".zip"),
    };
    let arguments = object!({ "task_id": task.to_string(), "artifact": artifact });
    let info: Value = client.tool("task_file_info", arguments).await?;
    let Ok(file) = FileInfo::deserialize(&info) else {
        return Ok(Err(info));
    };
    let (Some(sha256), Some(size)) = (file.sha256, file.download_size) else {
        let text = "The server does not say size and SHA-256 of the file, so that it cannot be checked. Nothing was \
            saved: open the download_url of task_file_info instead.";
        return Err(Failure::new("DOWNLOAD_UNCHECKED", text));
    };
    let target = Target {
        folder: folder.to_owned(),
        stem,
        end,
        size,
        sha256: sha256.to_ascii_lowercase(),
    };
    let (saved_path, already_saved) = save(client, &file.download_url, &target).await?;
    Ok(Ok(Saved {
        saved_path,
        content_type: file.content_type,
        sha256: target.sha256,
        download_size: size,
        already_saved,
    }))
}

/// Reads the arguments, and says what is wrong with them.
fn parse(arguments: Option<JsonObject>) -> Result<Arguments, Failure> {
    let arguments = serde_json::from_value::<Arguments>(arguments.unwrap_or_default().into());
    let why = match arguments {
        Ok(arguments) if arguments.wait_seconds.is_none_or(|seconds| seconds <= LONGEST_WAIT) => return Ok(arguments),
        Ok(_) => "wait_seconds is too large".to_owned(),
        Err(error) => error.to_string(),
    };
    let text = format!(
        "The arguments do not fit: {why}. task_download takes task_id, a string; artifact, \"report\" or \"zip\"; and \
         wait_seconds, a whole number from 0 to {LONGEST_WAIT}."
    );
    Err(Failure::new("INVALID_ARGUMENT", text))
}

/// The folder for plans.
fn find_folder(configured: Option<&str>) -> Result<PathBuf, Failure> {
    let advice = "in the environment that your client starts planexe-local with (\"env\" in most configurations), as \
        the full path of a folder that exists, and restart the client";
    let Some(configured) = configured.map(str::trim).filter(|path| !path.is_empty()) else {
        let text = format!("There is no folder to save to. Ask the user to set PLANEXE_PATH {advice}.");
        return Err(Failure::new("PLANEXE_PATH_UNSET", text));
    };
    std::fs::canonicalize(configured)
        .ok()
        .filter(|folder| folder.is_dir())
        .ok_or_else(|| {
            let text =
                format!("PLANEXE_PATH is {configured:?}, which is not a folder. Ask the user to set it {advice}.");
            Failure::new("PLANEXE_PATH_NO_FOLDER", text)
        })
}

/// Looks at a task again and again.
pub(crate) struct Watch<'a> {
    client: &'a Client,
    task: Uuid,
    end: Instant,
    /// Before the next look.
    pause: Duration,
    longest_pause: Duration,
    /// Failed looks that do not end the wait.
    tolerance: u32,
    is_over: bool,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(client: &'a Client, task: Uuid, limit: Duration, longest_pause: Duration) -> Self {
        Self {
            client,
            task,
            end: Instant::now() + limit,
            pause: Duration::ZERO,
            longest_pause,
            tolerance: 0,
            is_over: false,
        }
    }

    /// The next look; `None` when the last one saw the task's end, or when the time is over.
    ///
    /// # Errors
    /// When the first look fails, or later [`FAILURES`] and one more in a row.
    pub(crate) async fn next(&mut self) -> Result<Option<Status>, Failure> {
        while !self.is_over {
            sleep(self.pause).await;
            let left = self.end.saturating_duration_since(Instant::now());
            self.pause = self.pause.mul_f32(1.5).clamp(PAUSE, self.longest_pause).min(left);
            self.is_over = left.is_zero();
            let arguments = object!({ "task_id": self.task.to_string() });
            match self.client.tool::<Status>("task_status", arguments).await {
                Ok(status) => {
                    self.tolerance = FAILURES;
                    self.is_over |= matches!(&*status.state, "stopping" | "stopped" | "completed" | "failed");
                    return Ok(Some(status));
                }
                Err(failure) if self.tolerance == 0 => return Err(failure),
                Err(_) => self.tolerance -= 1,
            }
        }
        Ok(None)
    }
}
