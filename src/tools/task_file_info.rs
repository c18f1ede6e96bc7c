//! `task_file_info`: where to get a finished plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, ResourceLink};
use crate::{
    actions::files,
    error::Error,
    plan::{Artifact, Percentage, TaskId, TaskState},
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
pub(super) enum Choice {
    #[default]
    Report,
    Zip,
}

/// Either the file or the reason why it does not exist yet; `ready` tells which.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Output {
    /// Whether the file is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    ready: Option<bool>,
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
    /// What to know about the link. Left out for an ordinary link.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    hint: Option<&'static str>,
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
    link: Option<(Artifact, TaskId, u64)>,
    /// The state of a task that has not made the file, and how far it is; not part of the result.
    #[serde(skip)]
    not_ready: Option<(TaskState, Percentage)>,
}

impl Definition for TaskFileInfo {
    const NAME: &'static str = "task_file_info";
    const TITLE: &'static str = "Get the plan";
    const DESCRIPTION: &'static str = "Returns where to download a finished plan: the HTML report, or with artifact \
        zip all files of the run, with size and sha256. Call it once task_status says completed; before that it \
        answers ready: false. Free, changes nothing. Give download_url to the user as it is: it opens in a browser \
        until expires_at, usually for 15 minutes. Call again for a fresh link.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = r#"{"task_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4","artifact":"zip"}"#;
    const FAMILY: Family = Family::Task;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        let (artifact, task_id, size) = output.link?;
        Some(ResourceLink::to(artifact, task_id, Some(size)))
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let artifact = match arguments.artifact {
            Choice::Report => Artifact::Report,
            Choice::Zip => Artifact::Zip,
        };
        let link = match files::link(&arguments.task_id, artifact, artifact.file_name(), context).await {
            Err(error @ Error::NotReady { state, progress }) => {
                return Ok(Output {
                    ready: Some(false),
                    reason: Some(error.message().into_owned()),
                    state: Some(Self::FAMILY.state(state)),
                    progress_percentage: Some(progress.percent()),
                    not_ready: Some((state, progress)),
                    ..Output::default()
                });
            }
            link => link?,
        };
        Ok(Output {
            ready: Some(true),
            link: link.size.map(|size| (artifact, link.id, size)),
            content_type: Some(artifact.content_type()),
            sha256: link.sha256,
            download_size: link.size,
            download_url: Some(link.url),
            expires_at: Some(link.expires_at),
            hint: (!link.is_stored).then_some(files::UNSTORED),
            ..Output::default()
        })
    }

    /// The four members that `mcp_local`'s schema of `task_download` allows; a file that is not there is an error.
    fn plain(output: Output) -> Result<Output, Error> {
        if let Some((state, progress)) = output.not_ready {
            return Err(Error::NotReady { state, progress });
        }
        Ok(Output {
            ready: None,
            expires_at: None,
            hint: None,
            ..output
        })
    }
}
