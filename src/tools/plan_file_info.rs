//! `plan_file_info`: where to get a plan's files.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, ResourceLink, task_file_info::Choice};
use crate::{
    actions::files,
    error::Error,
    plan::{Artifact, TaskId, TaskState},
    render,
};

pub(super) struct PlanFileInfo;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The `plan_id` that `plan_create` returned.
    plan_id: String,
    /// report: the plan as one HTML page. zip: every file of the run.
    #[serde(default)]
    artifact: Choice,
}

/// Either the file, or the reason why it is not there: then there is no `download_url`.
#[derive(Default, Serialize, JsonSchema)]
pub(super) struct Output {
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
    /// False when the file is not there yet, or never will be.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    ready: Option<bool>,
    /// Why: processing, stopped or failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    reason: Option<&'static str>,
    /// Why the file will not come: `generation_failed` or `content_unavailable`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "render::ToolError")]
    error: Option<render::ToolError>,
    /// What the result points to; not part of it.
    #[serde(skip)]
    link: Option<(Artifact, TaskId, u64)>,
}

impl Definition for PlanFileInfo {
    const NAME: &'static str = "plan_file_info";
    const TITLE: &'static str = "Get the plan";
    const DESCRIPTION: &'static str = "Returns where to download a plan: the HTML report, or with artifact zip all files \
        of the run, with size and sha256. While the plan is pending or processing it answers ready: false with reason \
        processing; the file is there when download_url is. Free, changes nothing. Give download_url to the user as it is: \
        it opens in a browser until expires_at. Call again for a fresh link. Error codes: PLAN_NOT_FOUND; in the result \
        generation_failed and content_unavailable.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = r#"{"plan_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4","artifact":"zip"}"#;
    const FAMILY: Family = Family::Plan;
    type Arguments = Arguments;
    type Output = Output;

    fn link(output: &Output) -> Option<ResourceLink> {
        let (artifact, id, size) = output.link?;
        Some(ResourceLink::to(artifact, id, Some(size)))
    }

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let (artifact, name) = match arguments.artifact {
            Choice::Report => (Artifact::Report, "report.html"),
            Choice::Zip => (Artifact::Zip, Artifact::Zip.file_name()),
        };
        let not_ready = |reason, error: Option<&Error>| Output {
            ready: Some(false),
            reason: Some(reason),
            error: error.map(|error| super::failure(Self::NAME, error).error),
            ..Output::default()
        };
        match files::link(&arguments.plan_id, artifact, name, context).await {
            Ok(link) => Ok(Output {
                content_type: Some(artifact.content_type()),
                sha256: link.sha256,
                download_size: link.size,
                download_url: Some(link.url),
                expires_at: Some(link.expires_at),
                hint: (!link.is_stored).then_some(files::UNSTORED),
                link: link.size.map(|size| (artifact, link.id, size)),
                ..Output::default()
            }),
            Err(Error::NotReady {
                state: TaskState::Stopped,
                ..
            }) => Ok(not_ready("stopped", None)),
            Err(Error::NotReady { .. }) => Ok(not_ready("processing", None)),
            Err(error @ Error::GenerationFailed(_)) => Ok(not_ready("failed", Some(&error))),
            Err(error @ Error::ContentUnavailable(_)) => Ok(Output {
                error: Some(super::failure(Self::NAME, &error).error),
                ..Output::default()
            }),
            Err(error) => Err(error),
        }
    }
}
