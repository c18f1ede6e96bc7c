//! `plan_status`: how far a plan is.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, ResourceLink, id_text, task_status::File};
use crate::{
    actions::status::{self, Snapshot},
    clock,
    error::Error,
    plan::{self, TaskId, TaskState},
};

pub(super) struct PlanStatus;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The `plan_id` that `plan_create` returned.
    plan_id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The plan's id.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    plan_id: TaskId,
    /// pending and processing: poll again later. completed: get the report with `plan_file_info`. failed: see error. stopped:
    /// see `plan_resume`.
    #[schemars(with = "State")]
    state: &'static str,
    /// 0 to 100. Steps take unequal time.
    progress_percentage: f64,
    /// Steps that are done; null before the first.
    steps_completed: Option<i64>,
    /// Steps of the whole plan; null before the first.
    steps_total: Option<i64>,
    /// The last step in words; null before the first.
    current_step: Option<String>,
    /// Times of the plan.
    timing: Timing,
    /// Files that the plan has so far.
    files_count: usize,
    /// The newest ten of them.
    files: Vec<File>,
    /// Why the plan failed. Only of a failed plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Failure")]
    error: Option<Failure>,
    /// What to do about a plan that no worker has. Left out while all is well.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    hint: Option<String>,
    /// Whether a report can be read; not part of the result.
    #[serde(skip)]
    has_report: bool,
}

/// The public names of the states, for the schemas.
#[derive(JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(dead_code, reason = "for the schema")]
pub(super) enum State {
    Pending,
    Processing,
    Completed,
    Failed,
    Stopped,
}

#[derive(Serialize, JsonSchema)]
struct Timing {
    /// When the plan was created or begun anew (RFC 3339, UTC); null when unknown.
    started_at: Option<String>,
    /// Seconds since then, until the plan's end.
    elapsed_sec: f64,
    /// When the worker last told of its progress (RFC 3339, UTC); null before the first time.
    last_progress_at: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Failure {
    /// `generation_error`, `worker_error`, `inactivity_timeout`, `internal_error` or `version_mismatch`; null when unknown.
    failure_reason: Option<String>,
    /// The step at which the plan failed; null when unknown.
    failed_step: Option<String>,
    /// What happened and what to do.
    message: String,
    /// Whether `plan_resume` may succeed; if false, call `plan_retry`. Null when unknown.
    recoverable: Option<bool>,
}

impl Definition for PlanStatus {
    const NAME: &'static str = "plan_status";
    const TITLE: &'static str = "Plan progress";
    const DESCRIPTION: &'static str = "Tells how far a plan is: state, percentage, steps, times, files. Free, changes \
        nothing. A plan takes 10-20 minutes: call it about every 5 minutes. pending and processing: poll again; completed: \
        call plan_file_info; failed: error says why, and error.recoverable whether plan_resume or plan_retry is the way on; \
        stopped: somebody called plan_stop. If there is a hint, no worker has the plan: tell the user and do what the hint \
        says. Error code: PLAN_NOT_FOUND.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = r#"{"plan_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4"}"#;
    const FAMILY: Family = Family::Plan;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        ResourceLink::to_report(output.state, output.has_report, output.plan_id)
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let snapshot = status::read(&arguments.plan_id, true, context).await?;
        let error = failure(&snapshot);
        let hint = hint(&snapshot);
        let (files, files_count) = (snapshot.newest_files(), snapshot.files_count());
        let Snapshot { id, status, .. } = snapshot;
        // Builds before March wrote the steps into the message alone.
        let written = plan::steps(&status.progress.message);
        let total = status.columns.steps_total.or(written.map(|(_, total)| total));
        let completed = status
            .columns
            .steps_completed
            .or(written.map(|(completed, _)| completed));
        let is_complete = status.progress.state == TaskState::Completed;
        Ok(Output {
            plan_id: id,
            state: Self::FAMILY.state(status.progress.state),
            progress_percentage: status.progress.percentage.percent(),
            steps_completed: if is_complete { total.or(completed) } else { completed },
            steps_total: total,
            current_step: status.columns.current_step,
            timing: Timing {
                started_at: status.created_at,
                elapsed_sec: snapshot.elapsed.unwrap_or_default(),
                last_progress_at: status.progressed.map(clock::rfc3339),
            },
            files_count,
            files: files.into_iter().map(File::from).collect(),
            error,
            hint,
            has_report: snapshot.has_report,
        })
    }
}

/// Why the plan failed.
fn failure(snapshot: &Snapshot) -> Option<Failure> {
    let (progress, columns) = (&snapshot.status.progress, &snapshot.status.columns);
    (progress.state == TaskState::Failed).then(|| {
        let message = plan::failure(progress.percentage, &progress.message, snapshot.reason());
        Failure {
            failure_reason: columns.failure_reason.clone(),
            failed_step: columns.failed_step.clone(),
            message: PlanStatus::FAMILY.words(message.into()).into_owned(),
            recoverable: columns.recoverable,
        }
    })
}

/// What to do about a plan that no worker has.
fn hint(snapshot: &Snapshot) -> Option<String> {
    let advice = if snapshot.status.has_report {
        "The report is there all the same: call plan_file_info."
    } else {
        "Stop it with plan_stop, then call plan_retry."
    };
    Some(snapshot.trouble()?.told(advice))
}
