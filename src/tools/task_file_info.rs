//! `task_file_info`: where to get a finished plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, ResourceLink, task_id};
use crate::{
    artifacts,
    auth::SignedLink,
    clock,
    db::Database,
    error::Error,
    plan::{Artifact, TaskState},
};

pub(super) struct TaskFileInfo;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The `task_id` that `task_create` returned.
    task_id: String,
    /// report: the plan as one HTML page. zip: every file of the run.
    #[serde(default)]
    artifact: Choice,
}

#[derive(Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Choice {
    #[default]
    Report,
    Zip,
}

/// Either the file or the reason why there is none yet; `ready` tells which.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Output {
    /// Whether the file is there.
    ready: bool,
    /// Media type of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    content_type: Option<&'static str>,
    /// Hex SHA-256 of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    sha256: Option<String>,
    /// Size of the file in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u64")]
    download_size: Option<u64>,
    /// Address of the file. Opens in a browser without a key until `expires_at`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    download_url: Option<String>,
    /// When `download_url` stops to work (RFC 3339, UTC). Call again for a new one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    expires_at: Option<String>,
    /// Why the file is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    reason: Option<String>,
    /// State of the task, as in `task_status`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    state: Option<&'static str>,
    /// 0 to 100.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    progress_percentage: Option<f64>,
    /// What the result points to; not part of it.
    #[serde(skip)]
    link: Option<(Artifact, String, u64)>,
}

impl Definition for TaskFileInfo {
    const NAME: &'static str = "task_file_info";
    const TITLE: &'static str = "Get the plan";
    const DESCRIPTION: &'static str = "Returns where to download a finished plan: the HTML report, or with artifact \
        zip all files of the run, with size and sha256. Call it once task_status says completed; before that it \
        answers ready: false. Free, changes nothing. Give download_url to the user as it is: it opens in a browser \
        for 15 minutes. Call again for a fresh link.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        let (artifact, task_id, size) = output.link.as_ref()?;
        Some(ResourceLink::to(*artifact, task_id, Some(*size)))
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let id = task_id(&arguments.task_id)?;
        let artifact = match arguments.artifact {
            Choice::Report => Artifact::Report,
            Choice::Zip => Artifact::Zip,
        };
        let database = Database::configured(&context.record).await?;
        let (progress, description) = artifacts::describe(&database, id, &context.caller, artifact).await?;
        let Some(description) = description else {
            let reason = match progress.state {
                TaskState::Failed => return Err(Error::GenerationFailed(progress.message)),
                TaskState::Stopped => "The task was stopped before the plan was complete. Create a new one.",
                TaskState::Stopping => "The task is being stopped: there will be no file.",
                TaskState::Pending => "No worker has begun with the plan yet. Ask task_status in a few minutes.",
                TaskState::Running | TaskState::Completed => {
                    "The plan is being made. Ask task_status in a few minutes."
                }
            };
            return Ok(Output {
                reason: Some(reason.to_owned()),
                state: Some(progress.state.name()),
                progress_percentage: Some(progress.percentage),
                ..Output::default()
            });
        };
        let api_key = context.access.api_key.as_deref();
        let link = SignedLink::to(&progress.id, artifact.file_name(), api_key, &context.request_origin).await?;
        Ok(Output {
            ready: true,
            link: Some((artifact, progress.id.clone(), description.size)),
            content_type: Some(artifact.content_type()),
            sha256: Some(description.sha256),
            download_size: Some(description.size),
            download_url: Some(link.url),
            expires_at: Some(clock::rfc3339(link.expires)),
            ..Output::default()
        })
    }
}
