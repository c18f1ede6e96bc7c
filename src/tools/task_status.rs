//! `task_status`: how far a plan is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, ResourceLink, id_text};
use crate::{
    actions::status::{self, Snapshot},
    artifacts, clock,
    error::Error,
    plan::{self, TaskId, TaskState},
};

pub(super) struct TaskStatus;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The `task_id` that `task_create` returned.
    task_id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The task's id.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    task_id: TaskId,
    /// pending, running, stopping, stopped, completed or failed. After stopped, completed or failed, stop polling.
    #[schemars(with = "State")]
    state: &'static str,
    /// 0 to 100.
    progress_percentage: f64,
    /// What the worker has done so far, or how the task ended.
    progress_message: String,
    /// Times of the task.
    timing: Timing,
    /// What to do about a task that no worker has. Left out while all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    hint: Option<String>,
    /// At most ten files of the run: of a running plan those of the latest stages, of an ended one the newest.
    files: Vec<File>,
    /// Whether a report can be read; not part of the result.
    #[serde(skip)]
    has_report: bool,
}

#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "the public names of the states, for the schema")]
enum State {
    Pending,
    Running,
    Stopping,
    Stopped,
    Completed,
    Failed,
}

#[derive(Serialize, JsonSchema)]
struct Timing {
    /// When the task was created, not when a worker began with it (RFC 3339, UTC); null when unknown.
    started_at: Option<String>,
    /// Seconds since then, until the task's end. Left out when the end is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64", default)]
    elapsed_sec: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct File {
    /// Name of the file.
    path: String,
    /// RFC 3339, UTC. Left out when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    updated_at: Option<String>,
}

impl From<artifacts::File> for File {
    fn from(file: artifacts::File) -> Self {
        Self {
            path: file.name,
            updated_at: file.updated_at.map(clock::rfc3339),
        }
    }
}

impl Definition for TaskStatus {
    const NAME: &'static str = "task_status";
    const TITLE: &'static str = "Plan progress";
    const DESCRIPTION: &'static str = "Tells how far a plan is: state, percentage, message, files. Free, changes \
        nothing. A real plan takes 15-20 minutes: call it every few minutes, not in a tight loop. Once state is \
        completed, call task_file_info for the report. On failed, progress_message says why. If there is a hint, no \
        worker has the plan: tell the user and do what the hint says.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = r#"{"task_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4"}"#;
    const FAMILY: Family = Family::Task;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        ResourceLink::to_report(output.state, output.has_report, output.task_id)
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let snapshot = status::read(&arguments.task_id, false, context).await?;
        Ok(Output {
            task_id: snapshot.id,
            state: Self::FAMILY.state(snapshot.status.progress.state),
            progress_percentage: snapshot.status.progress.percentage.percent(),
            progress_message: message(&snapshot),
            hint: hint(&snapshot),
            has_report: snapshot.has_report,
            files: snapshot.newest_files().into_iter().map(File::from).collect(),
            timing: Timing {
                started_at: snapshot.status.created_at,
                elapsed_sec: snapshot.elapsed,
            },
        })
    }
}

/// The worker's own text while it works. It leaves that text as it is when a task ends, so that says something else then.
fn message(snapshot: &Snapshot) -> String {
    let progress = &snapshot.status.progress;
    match progress.state {
        TaskState::Pending | TaskState::Running | TaskState::Stopping => progress.message.clone(),
        TaskState::Completed => "The plan is complete.".to_owned(),
        TaskState::Stopped => format!("The plan was stopped at {} %.", progress.percentage),
        TaskState::Failed => {
            let failure = plan::failure(progress.percentage, &progress.message, snapshot.reason());
            let report = if snapshot.has_report {
                " The report was made all the same: call task_file_info first."
            } else {
                ""
            };
            failure + report
        }
    }
}

/// What to do about a task that no worker has.
fn hint(snapshot: &Snapshot) -> Option<String> {
    let trouble = snapshot.trouble()?;
    let advice = match snapshot.status.progress.state {
        _ if snapshot.status.has_report => "The report is there all the same: call task_file_info.",
        TaskState::Stopping => {
            "It may stay in this state. Create it again with task_create and a new client_request_id."
        }
        _ => "Stop it with task_stop and create it again, with a new client_request_id.",
    };
    Some(trouble.told(advice))
}
