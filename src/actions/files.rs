//! Where to get the files of a plan.

use super::Context;
use crate::{
    artifacts,
    auth::{SignedLink, UNSTORED_LIFETIME},
    clock, config,
    error::Error,
    plan::{Artifact, TaskId},
};

/// The hint about a file that only `worker_plan` has.
pub const UNSTORED: &str = "PlanExe did not store this file and deletes it within seconds. Download it now.";

/// A file that can be downloaded.
#[derive(Debug)]
pub struct FileLink {
    /// The plan's id.
    pub id: TaskId,
    /// Hex SHA-256, where it is known.
    pub sha256: Option<String>,
    /// In bytes, where it is known.
    pub size: Option<u64>,
    /// Whether the database has the file. Else only `worker_plan` has it, and deletes it within seconds.
    pub is_stored: bool,
    /// An address that opens without a key.
    pub url: String,
    /// Until when it does: RFC 3339, UTC.
    pub expires_at: String,
}

/// Describes an artifact of a plan and signs a link to it under this name.
///
/// # Errors
/// [`Error::TaskNotFound`]; [`Error::NotReady`], [`Error::GenerationFailed`] and [`Error::ContentUnavailable`] when there is
/// no such file; those of the database and of settings that cannot be used.
pub async fn link(id: &str, artifact: Artifact, name: &'static str, context: &Context) -> Result<FileLink, Error> {
    let (id, database) = context.find(id).await?;
    let description = artifacts::describe(&database, id, context.caller.owner(), artifact).await?;
    let lifetime = if description.is_stored {
        config::link_lifetime().await?
    } else {
        UNSTORED_LIFETIME
    };
    let api_key = context.access.api_key.as_deref();
    let link = SignedLink::create(id, name, lifetime, api_key, &context.request_origin).await?;
    Ok(FileLink {
        id,
        sha256: description.sha256,
        size: description.size,
        is_stored: description.is_stored,
        url: link.url,
        expires_at: clock::rfc3339(link.expires),
    })
}
