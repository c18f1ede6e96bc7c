//! `task_status`: how far a plan is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, ResourceLink, id_text, task_id};
use crate::{
    artifacts::{self, RunFiles},
    clock,
    db::{
        Database,
        task::{self, Event, Progress, Status},
    },
    error::Error,
    plan::{self, Artifact, TaskId, TaskState},
};

/// Files in the answer.
const MAX_FILES: usize = 10;
/// Seconds after which a pending task without any living worker gets a hint. A worker without a task reports about once a
/// minute.
const PENDING_LIMIT: f64 = 300.0;
/// Seconds after which a task whose worker does not report gets a hint. A worker reports with each LLM call.
const SILENCE_LIMIT: f64 = 600.0;

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
struct File {
    /// Name of the file.
    path: String,
    /// RFC 3339, UTC. Left out when unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    updated_at: Option<String>,
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
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        let has_ended = [TaskState::Completed.name(), TaskState::Failed.name()].contains(&output.state);
        (has_ended && output.has_report).then(|| ResourceLink::to(Artifact::Report, output.task_id, None))
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let id = task_id(&arguments.task_id)?;
        let database = Database::configured(&context.request).await?;
        let mut status = task::find_status(&database, id, context.caller.owner(), artifacts::END_LENGTH).await?;
        let archive = status.archive.take();
        let state = status.progress.state;
        let is_in_work = state.is_in_work();
        let needs_event = status.elapsed.is_none() || (is_in_work && status.own_worker_seen.is_none());
        let event = if needs_event {
            task::find_event(&database, id).await
        } else {
            Event::default()
        };
        let ended = event.at.filter(|_| !is_in_work);
        let mut listing = RunFiles::list(&database, &status.progress, archive).await;
        if is_in_work && listing.is_gone && !needs_event {
            // The worker may have stored the files and deleted its folder since the row was read.
            let later = task::find_status(&database, id, context.caller.owner(), artifacts::END_LENGTH).await?;
            if later.archive.is_some() {
                listing = RunFiles::list(&database, &later.progress, later.archive).await;
            }
        }
        let elapsed = status.elapsed.or(event.elapsed);
        let has_report = status.has_report || listing.has_report();
        let files = listing.newest(ended, MAX_FILES).into_iter().map(|file| File {
            path: file.name,
            updated_at: file.updated_at.map(clock::rfc3339),
        });
        Ok(Output {
            task_id: id,
            state: state.name(),
            progress_percentage: status.progress.percentage.percent(),
            progress_message: message(&status.progress, &event, has_report),
            hint: hint(&status, &event),
            has_report,
            timing: Timing {
                started_at: status.created_at,
                elapsed_sec: elapsed.map(|seconds| seconds.max(0.0).floor()),
            },
            files: files.collect(),
        })
    }
}

/// The worker's own text while it works. It leaves that text as it is when a task ends, so that says something else then.
fn message(progress: &Progress, event: &Event, has_report: bool) -> String {
    match progress.state {
        TaskState::Pending | TaskState::Running | TaskState::Stopping => progress.message.clone(),
        TaskState::Completed => "The plan is complete.".to_owned(),
        TaskState::Stopped => format!("The plan was stopped at {} %.", progress.percentage),
        TaskState::Failed => {
            let failure = plan::failure(progress.percentage, &progress.message, event.reason.as_deref());
            let report = if has_report {
                " The report was made all the same: call task_file_info first."
            } else {
                ""
            };
            failure + report
        }
    }
}

/// What to do about a task that no worker has.
fn hint(status: &Status, event: &Event) -> Option<String> {
    match status.progress.state {
        TaskState::Pending => {
            let waits = status.elapsed.is_some_and(|seconds| seconds > PENDING_LIMIT);
            let no_worker = status.any_worker_seen.is_none_or(|seconds| seconds > PENDING_LIMIT);
            (waits && no_worker).then(|| {
                "No worker of PlanExe has reported for 5 minutes. The plan stays in the queue and begins when the operator \
                 starts a worker: tell the user."
                    .to_owned()
            })
        }
        state @ (TaskState::Running | TaskState::Stopping) => {
            let silent = status.own_worker_seen.or(event.age)?;
            (silent > SILENCE_LIMIT).then(|| {
                let minutes = (silent / 60.0) as u64;
                let what = if status.own_worker_seen.is_some() {
                    format!("The worker of this plan has not reported for {minutes} minutes, and no other takes the plan up.")
                } else {
                    "No worker has this plan any more, and none takes it up.".to_owned()
                };
                let advice = match state {
                    _ if status.has_report => "The report is there all the same: call task_file_info.",
                    TaskState::Stopping => {
                        "It may stay in this state. Create it again with task_create and a new client_request_id."
                    }
                    _ => "Stop it with task_stop and create it again, with a new client_request_id.",
                };
                format!("{what} {advice}")
            })
        }
        TaskState::Stopped | TaskState::Completed | TaskState::Failed => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(state: TaskState, elapsed: f64, any: Option<f64>, own: Option<f64>) -> Status {
        Status {
            progress: Progress {
                id: TaskId::random(),
                state,
                percentage: plan::Percentage::new(0.0),
                message: String::new(),
            },
            created_at: None,
            elapsed: Some(elapsed),
            any_worker_seen: any,
            own_worker_seen: own,
            archive: None,
            has_report: false,
        }
    }

    #[test]
    fn a_hint_is_given_when_no_worker_has_the_task() {
        use TaskState::{Completed, Pending, Running, Stopped, Stopping};
        for (state, elapsed, any, own, claimed, expected) in [
            (Pending, 299.0, None, None, None, false),
            (Pending, 301.0, None, None, None, true),
            (Pending, 9000.0, Some(299.0), None, None, false),
            (Pending, 9000.0, Some(301.0), None, None, true),
            (Running, 9000.0, None, Some(599.0), None, false),
            (Running, 9000.0, None, Some(601.0), None, true),
            (Stopping, 9000.0, None, Some(601.0), None, true),
            // The row of a restarted worker names the task no longer: the time since the claim counts.
            (Running, 9000.0, None, None, Some(599.0), false),
            (Running, 9000.0, None, None, Some(601.0), true),
            // Between the claim and the first heartbeat there is neither row nor event.
            (Running, 9000.0, None, None, None, false),
            (Completed, 9000.0, None, Some(601.0), None, false),
            (Stopped, 9000.0, None, None, None, false),
        ] {
            let event = Event {
                age: claimed,
                ..Event::default()
            };
            let given = hint(&status(state, elapsed, any, own), &event);
            assert_eq!(
                given.is_some(),
                expected,
                "{state:?} {elapsed} {any:?} {own:?} {claimed:?}"
            );
        }
    }
}
