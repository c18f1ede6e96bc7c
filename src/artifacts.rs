//! The files of a run: from the database when it has them, else from `worker_plan`. Files pass through in pieces.

mod archive;

use std::pin::Pin;

use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use sha2::{Digest as _, Sha256};

use crate::{
    auth::hex,
    db::{
        Database,
        task::{self, Progress, Status, StoredArtifact},
    },
    error::{Error, Unavailable},
    plan::{Artifact, TaskId, TaskState},
    worker_plan::{Arriving, WorkerPlan},
};

/// Larger files are not handed out.
pub const MAX_SIZE: u64 = 100_000_000;
/// Bytes that are read from the database at once.
const SLICE: u64 = 256 * 1024;

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// RFC 3339; `None` when the source does not tell.
    pub updated_at: Option<String>,
}

/// The newest files of a run, `limit` at the most. Never fails: without a source the list is empty.
pub async fn newest_files(database: &Database, status: &Status, limit: usize) -> Vec<File> {
    let listed = match (
        status.zip_size.and_then(|size| u64::try_from(size).ok()),
        status.progress.state,
    ) {
        (Some(size), _) => archive::list(database, &status.progress.id, &status.version, size).await,
        // Nobody has begun.
        (None, TaskState::Pending) => Ok(Vec::new()),
        (None, _) => list_from_worker(&status.progress.id).await,
    };
    let mut files = listed.unwrap_or_else(|error| {
        crate::log::fault(&error);
        Vec::new()
    });
    files.retain(|file| file.name != "log.txt");
    // Where times are missing or equal, a later stage of the pipeline has the higher number in front of its name.
    files.sort_by(|a, b| (&b.updated_at, &b.name).cmp(&(&a.updated_at, &a.name)));
    files.truncate(limit);
    files
}

async fn list_from_worker(id: &str) -> Result<Vec<File>, Error> {
    let names = match WorkerPlan::configured().await?.list_files(id).await {
        Err(Unavailable::NoSuchFile) => Vec::new(),
        listed => listed?,
    };
    Ok(names.into_iter().map(|name| File { name, updated_at: None }).collect())
}

/// An artifact, described but not moved through to the caller.
#[derive(Debug)]
pub struct Description {
    /// In bytes.
    pub size: u64,
    /// Hex SHA-256.
    pub sha256: String,
}

/// State of a task and, once it is completed, the description of an artifact.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::ContentUnavailable`] when the task is completed and nobody has the file, and
/// those of the database.
pub async fn describe(
    database: &Database,
    id: TaskId,
    artifact: Artifact,
) -> Result<(Progress, Option<Description>), Error> {
    let (progress, stored) = task::find_artifact(database, id, None, artifact).await?;
    let description = match stored {
        Some(StoredArtifact { size, sha256, .. }) => Some(Description {
            size: within_bounds(size)?,
            sha256,
        }),
        None if progress.state == TaskState::Completed => Some(describe_from_worker(&progress.id, artifact).await?),
        None => None,
    };
    Ok((progress, description))
}

/// Size and hash of a file that only `worker_plan` has: it must be seen whole, but never is held whole.
async fn describe_from_worker(id: &str, artifact: Artifact) -> Result<Description, Error> {
    let arriving = WorkerPlan::configured().await?.open(id, artifact).await?;
    let pieces = arriving.pieces().map_err(Error::from);
    let (size, hash) = pieces
        .try_fold((0_u64, Sha256::new()), |(size, hash), piece| async move {
            let size = within_bounds(size + piece.len() as u64)?;
            Ok((size, hash.chain_update(&piece)))
        })
        .await?;
    Ok(Description {
        size,
        sha256: hex(&hash.finalize()),
    })
}

/// An artifact on its way to the caller.
pub struct Download {
    /// In bytes, where it is known beforehand.
    pub size: Option<u64>,
    /// Hex SHA-256, where it is known beforehand.
    pub sha256: Option<String>,
    /// The bytes. An error in the middle means that the rest will not come.
    pub pieces: Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>,
}

/// Begins the download of an artifact.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::NotReady`], [`Error::GenerationFailed`], [`Error::ContentUnavailable`], and those
/// of the database.
pub async fn open(database: &Database, id: TaskId, artifact: Artifact) -> Result<Download, Error> {
    let (progress, stored) = task::find_artifact(database, id, None, artifact).await?;
    if let Some(stored) = stored {
        let size = within_bounds(stored.size)?;
        let sha256 = Some(stored.sha256.clone());
        let pieces = slices(database.renewed(), progress.id, artifact, stored.version, size).boxed_local();
        return Ok(Download {
            size: Some(size),
            sha256,
            pieces,
        });
    }
    match (progress.state, artifact) {
        (TaskState::Pending, _) | (TaskState::Running | TaskState::Stopping, Artifact::Report) => {
            Err(Error::NotReady {
                state: progress.state,
                progress: progress.percentage,
            })
        }
        (TaskState::Failed, Artifact::Report) => Err(Error::GenerationFailed(progress.message)),
        // What there is of an unfinished run lies with the worker.
        (TaskState::Completed | TaskState::Failed | TaskState::Stopped, _)
        | (TaskState::Running | TaskState::Stopping, Artifact::Zip) => {
            let arriving = WorkerPlan::configured().await?.open(&progress.id, artifact).await?;
            let size = arriving.size.map(within_bounds).transpose()?;
            Ok(Download {
                size,
                sha256: None,
                pieces: bounded(arriving).boxed_local(),
            })
        }
    }
}

/// An artifact of the database, slice by slice. Each slice is a statement of its own with its own time limit, so that
/// a slow reader holds no connection.
fn slices(
    database: Database,
    id: String,
    artifact: Artifact,
    version: String,
    size: u64,
) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(
        (database, id, version, 0_u64),
        move |(database, id, version, offset)| async move {
            if offset >= size {
                return Ok(None);
            }
            let length = SLICE.min(size - offset);
            let bytes = task::read_artifact(&database.renewed(), &id, artifact, &version, offset, length).await?;
            if bytes.len() as u64 != length {
                return Err(Error::Internal("the artifact is shorter than it was".to_owned()));
            }
            Ok(Some((Bytes::from(bytes), (database, id, version, offset + length))))
        },
    )
}

/// A file of `worker_plan`, cut off with an error when it grows beyond all bounds.
fn bounded(arriving: Arriving) -> impl Stream<Item = Result<Bytes, Error>> {
    let pieces = arriving.pieces().map_err(Error::from);
    pieces.scan(0_u64, |received, piece| {
        let piece = piece.and_then(|piece| {
            *received = within_bounds(*received + piece.len() as u64)?;
            Ok(piece)
        });
        std::future::ready(Some(piece))
    })
}

fn within_bounds(size: u64) -> Result<u64, Error> {
    if size <= MAX_SIZE {
        Ok(size)
    } else {
        Err(Error::ContentUnavailable(Unavailable::TooLarge))
    }
}
