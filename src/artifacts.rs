//! The files of a run: from the database when it has them, else from `worker_plan`. Files are streamed.

pub(crate) mod byte_reader;
mod download;
mod payloads;
mod read_file;
mod run_files;
mod slices;
pub(crate) mod stored_zip;
pub(crate) mod zip_entry;
pub(crate) mod zip_stream;

use std::time::Duration;

pub use byte_reader::ByteStream;
use bytes::Bytes;
pub use download::Download;
use download::Source;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use payloads::without_payloads;
pub use read_file::{FileContent, read_file};
pub use run_files::{File, RunFiles};
use sha2::{Digest as _, Sha256};
pub use stored_zip::END_LENGTH;
use stored_zip::StoredZip;
use zip_stream::Search;

use crate::{
    auth::hex,
    clock,
    db::{
        Database,
        task::{self, Artifacts, Progress, Stored},
    },
    error::{Error, Unavailable},
    plan::{self, Artifact, REPORT_NAMES, RunFile, TaskId, TaskState, is_withheld},
    worker_plan::{FileResponse, WorkerPlan},
};

/// Size limit of a file, in bytes. Larger files are refused.
pub const MAX_SIZE: u64 = 100_000_000;
/// Time limit for listing the files of a run.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// Time limit for reading a stream that is not sent to the caller: a file that is hashed, an archive that is searched.
const SCAN_LIMIT: Duration = Duration::from_secs(25);

/// The size and hash of a file.
#[derive(Debug)]
pub struct Description {
    /// In bytes; `None` where it is not known before the file is sent.
    pub size: Option<u64>,
    /// Hex SHA-256, with the size.
    pub sha256: Option<String>,
    /// Whether the database has the file. Otherwise only `worker_plan` has it, and deletes it within seconds.
    pub is_stored: bool,
}

/// Describes an artifact of a task.
///
/// # Errors
/// [`Error::TaskNotFound`]; [`Error::NotReady`], [`Error::GenerationFailed`] and [`Error::ContentUnavailable`] when there
/// is no such file; those of the database.
pub async fn describe(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    artifact: Artifact,
) -> Result<Description, Error> {
    let found = find(database, id, owner, Some(artifact)).await?;
    if let Some(stored) = found.wanted {
        return Ok(Description {
            size: Some(check_size(handed_out(&stored))?),
            sha256: stored.sha256,
            is_stored: true,
        });
    }
    let changes = loses_payloads(&found, artifact);
    let download = open_elsewhere(database, found, artifact, false).await?;
    let is_stored = download.supports_ranges();
    if changes {
        return Ok(Description {
            size: None,
            sha256: None,
            is_stored,
        });
    }
    let stream = download.into_stream(None).await?;
    let hashed = stream.try_fold((0_u64, Sha256::new()), |(size, hash), chunk| async move {
        Ok((size + chunk.len() as u64, hash.chain_update(&chunk)))
    });
    let hashed = clock::within(database.request().left(SCAN_LIMIT), hashed).await;
    let (size, hash) = hashed.ok_or(Unavailable::WorkerTimeout)??;
    Ok(Description {
        size: Some(size),
        sha256: Some(hex(&hash.finalize())),
        is_stored,
    })
}

/// Finds a task with what the database has of its artifacts. An archive that may hold provider payloads is read without
/// them: its directory here, and Postgres hashes what stays.
async fn find(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    wanted: Option<Artifact>,
) -> Result<Artifacts, Error> {
    const ATTEMPTS: usize = 5;
    for _ in 0..ATTEMPTS {
        let mut found = task::find_artifacts(database, id, owner, wanted, END_LENGTH).await?;
        if let (Some(Artifact::Zip), Some(stored), Some(end)) = (wanted, &found.archive, &found.archive_end) {
            let archive = StoredZip::new(database, id, stored.clone());
            found.wanted = archive.without_payloads(end).await?;
            if found.wanted.is_none() {
                continue;
            }
        }
        return Ok(found);
    }
    Err(Error::DatabaseUnavailable(
        "the row changed again and again while it was read".to_owned(),
    ))
}

/// The size of an artifact as it is handed out, in bytes.
fn handed_out(stored: &Stored) -> u64 {
    stored.parts.as_ref().map_or(stored.size, |parts| parts.size())
}

/// Whether provider payloads are left out of a file of `worker_plan`: of an archive, where the database knows layouts.
fn loses_payloads(found: &Artifacts, artifact: Artifact) -> bool {
    artifact == Artifact::Zip && found.layout.is_some()
}

/// Begins the download of a file. The archive of an unfinished plan is available only with `partial`, so that it is not
/// mistaken for a complete one.
///
/// # Errors
/// [`Error::TaskNotFound`]; [`Error::NotReady`], [`Error::GenerationFailed`] and [`Error::ContentUnavailable`] when there
/// is no such file; those of the database.
pub async fn open_file(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    file: &RunFile,
    partial: bool,
) -> Result<Download, Error> {
    let wanted = match file {
        RunFile::Artifact(artifact, _) => Some(*artifact),
        RunFile::Entry(_) => None,
    };
    let found = find(database, id, owner, wanted).await?;
    let (has_ended, ended) = (found.progress.state.has_ended(), found.ended);
    let mut download = match (file, found.wanted.clone()) {
        (RunFile::Artifact(artifact, _), Some(stored)) => Download::new(
            Some(check_size(handed_out(&stored))?),
            stored.sha256.clone(),
            Source::Artifact {
                database: database.renewed(),
                id,
                artifact: *artifact,
                stored,
            },
        ),
        (RunFile::Artifact(artifact, _), None) => open_elsewhere(database, found, *artifact, partial).await?,
        (RunFile::Entry(name), _) if is_withheld(name) => return Err(Unavailable::Withheld.into()),
        (RunFile::Entry(name), _) => open_entry(database, found, name).await?,
    };
    (download.has_ended, download.ended) = (has_ended, ended);
    Ok(download)
}

/// Opens an artifact that is not in its own column: a report in the archive, or a file that `worker_plan` still has.
async fn open_elsewhere(
    database: &Database,
    found: Artifacts,
    artifact: Artifact,
    partial: bool,
) -> Result<Download, Error> {
    let changes = loses_payloads(&found, artifact);
    let Artifacts {
        progress,
        archive,
        archive_end,
        failure,
        ..
    } = found;
    if let (Artifact::Report, Some(stored), true) = (artifact, archive, progress.state.has_ended()) {
        let archive = StoredZip::new(database, progress.id, stored);
        match archive.find_entry(&REPORT_NAMES, archive_end).await {
            Ok(Some(entry)) => return Download::from_entry(archive, entry),
            // A broken archive is logged only: it does not explain why the task has no report.
            Err(error @ Error::ContentUnavailable(_)) => database.request().log_error(&error),
            result => drop(result?),
        }
    }
    let worker_may_have_it = match (progress.state, artifact) {
        (TaskState::Pending, _) | (TaskState::Failed | TaskState::Stopped, Artifact::Report) => false,
        (TaskState::Running | TaskState::Stopping, artifact) => partial && artifact == Artifact::Zip,
        (TaskState::Completed | TaskState::Failed | TaskState::Stopped, _) => true,
    };
    if worker_may_have_it {
        match open_at_worker(database, progress.id, artifact, changes).await {
            Err(Error::ContentUnavailable(fault)) if is_gone(fault, progress.state) => {
                database.request().log_error(&fault.into());
            }
            opened => return opened,
        }
    }
    Err(absent(database, &progress, failure).await)
}

/// Opens an entry of the archive: of the one in the database, else of the one that `worker_plan` makes.
async fn open_entry(database: &Database, found: Artifacts, name: &str) -> Result<Download, Error> {
    let Artifacts {
        progress,
        archive,
        archive_end,
        failure,
        ..
    } = found;
    if let Some(stored) = archive {
        let archive = StoredZip::new(database, progress.id, stored);
        let entry = archive
            .find_entry(&[name], archive_end)
            .await?
            .ok_or(Unavailable::NoSuchFile)?;
        return Download::from_entry(archive, entry);
    }
    if progress.state == TaskState::Pending {
        return Err(absent(database, &progress, failure).await);
    }
    let limit = database.request().left(SCAN_LIMIT);
    let found = clock::within(limit, find_at_worker(database, progress.id, name)).await;
    match found.unwrap_or(Err(Unavailable::WorkerTimeout.into())) {
        Ok(Some(download)) => return Ok(download),
        Ok(None) if progress.state.has_ended() => return Err(Unavailable::NoSuchFile.into()),
        Ok(None) => {}
        Err(Error::ContentUnavailable(fault)) if is_gone(fault, progress.state) => {
            database.request().log_error(&fault.into());
        }
        Err(error) => return Err(error),
    }
    Err(absent(database, &progress, failure).await)
}

/// Whether a failure of `worker_plan` means that it does not have the file. Within seconds after a task has ended, its
/// folder is deleted. From then on an unreachable service means the same as a missing file; for a task that was stopped or
/// has failed, every temporary failure does.
fn is_gone(fault: Unavailable, state: TaskState) -> bool {
    match state {
        TaskState::Failed | TaskState::Stopped => fault.is_temporary() || fault == Unavailable::NoSuchFile,
        TaskState::Completed => matches!(fault, Unavailable::NoSuchFile | Unavailable::WorkerUnreachable),
        TaskState::Pending | TaskState::Running | TaskState::Stopping => fault == Unavailable::NoSuchFile,
    }
}

/// The error for a file that the task has not made yet, or that was not kept. `failure` is the row's reason.
async fn absent(database: &Database, progress: &Progress, failure: Option<String>) -> Error {
    match progress.state {
        TaskState::Pending | TaskState::Running | TaskState::Stopping | TaskState::Stopped => Error::NotReady {
            state: progress.state,
            progress: progress.percentage,
        },
        TaskState::Completed => Unavailable::NotStored.into(),
        TaskState::Failed => {
            let reason = match failure {
                None => task::find_event(database, progress.id).await.reason,
                failure => failure,
            };
            Error::GenerationFailed(plan::failure(progress.percentage, &progress.message, reason.as_deref()))
        }
    }
}

/// Opens an artifact that `worker_plan` has. With `changes`, provider payloads are left out of it.
async fn open_at_worker(database: &Database, id: TaskId, artifact: Artifact, changes: bool) -> Result<Download, Error> {
    let worker = WorkerPlan::configured(database.request()).await?;
    let response = worker.open_artifact(id, artifact).await?;
    let size = response.size.map(check_size).transpose()?;
    let stream = bounded(response).boxed_local();
    Ok(if changes {
        Download::from_worker(None, without_payloads(stream))
    } else {
        Download::from_worker(size, stream)
    })
}

/// Opens an entry of the archive that `worker_plan` makes; `None` when the archive lacks it. When all entries are in one
/// folder, the archive is requested a second time, for the name inside that folder.
async fn find_at_worker(database: &Database, id: TaskId, name: &str) -> Result<Option<Download>, Error> {
    let worker = WorkerPlan::configured(database.request()).await?;
    let mut wanted = name.to_owned();
    for _ in 0..2 {
        let response = worker.open_artifact(id, Artifact::Zip).await?;
        if response.size.is_some_and(|size| size > MAX_SIZE) {
            return Err(Unavailable::ArchiveTooLarge.into());
        }
        match zip_stream::find_entry(bounded(response).boxed_local(), &wanted).await? {
            Search::Found(reader, content) => {
                let stream = zip_entry::unpacked(reader, content);
                return Ok(Some(Download::from_worker(content.size(), stream)));
            }
            Search::Absent(Some(folder)) => wanted = format!("{folder}/{name}"),
            Search::Absent(None) => break,
        }
    }
    Ok(None)
}

/// The content of a response. Beyond [`MAX_SIZE`] it ends in an error.
fn bounded(response: FileResponse) -> impl Stream<Item = Result<Bytes, Error>> {
    let chunks = response.into_stream().map_err(Error::from);
    chunks.scan(0_u64, |received, chunk| {
        let chunk = chunk.and_then(|chunk| {
            *received = check_size(*received + chunk.len() as u64)?;
            Ok(chunk)
        });
        std::future::ready(Some(chunk))
    })
}

fn check_size(size: u64) -> Result<u64, Error> {
    if size <= MAX_SIZE {
        Ok(size)
    } else {
        Err(Error::ContentUnavailable(Unavailable::TooLarge))
    }
}
