//! `task_status`: how far a plan is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, ResourceLink, task_id};
use crate::{
    artifacts,
    db::{Database, task},
    error::Error,
    plan::{Artifact, TaskState},
};

/// Files shown at the most.
const MAX_FILES: usize = 10;

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
    task_id: String,
    /// pending, running, stopping, stopped, completed or failed. The last three and stopped are final.
    #[schemars(with = "State")]
    state: &'static str,
    /// 0 to 100.
    progress_percentage: f64,
    /// What the worker is doing.
    progress_message: String,
    /// Times of the task.
    timing: Timing,
    /// The run's newest files, ten at the most.
    files: Vec<File>,
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
    /// RFC 3339, UTC; null when unknown.
    started_at: Option<String>,
    /// Seconds since then, until the task's end.
    elapsed_sec: f64,
}

#[derive(Serialize, JsonSchema)]
struct File {
    /// Name of the file.
    path: String,
    /// RFC 3339, UTC; null when unknown.
    updated_at: Option<String>,
}

impl Definition for TaskStatus {
    const NAME: &'static str = "task_status";
    const TITLE: &'static str = "Plan progress";
    const DESCRIPTION: &'static str = "Tells how far a plan is: state, percentage, message, newest files. Free, \
        changes nothing. A real plan takes 15-20 minutes: call it every few minutes, not in a tight loop. Once state \
        is completed, call task_file_info for the report. On failed, read progress_message; on pending for long, no \
        worker is free.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        let completed = output.state == TaskState::Completed.name();
        completed.then(|| ResourceLink::to(Artifact::Report, &output.task_id, None))
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let id = task_id(&arguments.task_id)?;
        let database = Database::configured(&context.record).await?;
        let mut status = task::find_status(&database, id, &context.caller, artifacts::END_LENGTH).await?;
        let archive = status.archive.take();
        let files = artifacts::newest_files(&database, archive, &status, MAX_FILES).await;
        Ok(Output {
            task_id: status.progress.id,
            state: status.progress.state.name(),
            progress_percentage: status.progress.percentage,
            progress_message: status.progress.message,
            timing: Timing {
                started_at: status.created_at,
                elapsed_sec: status.elapsed.unwrap_or_default().floor(),
            },
            files: files
                .into_iter()
                .map(|file| File {
                    path: file.name,
                    updated_at: file.updated_at.map(|moment| moment.to_string()),
                })
                .collect(),
        })
    }
}
