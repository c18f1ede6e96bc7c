//! The files of a run: from the database when it has them, else from `worker_plan`. Files are streamed.

pub(crate) mod byte_reader;
mod read_file;
mod run_files;
mod slices;
pub(crate) mod stored_zip;
pub(crate) mod zip_entry;
pub(crate) mod zip_stream;

use std::{ops::Range, time::Duration};

pub use byte_reader::ByteStream;
use bytes::Bytes;
use futures::{Stream, StreamExt as _, TryStreamExt as _};
pub use read_file::{FileContent, read_file};
pub use run_files::{File, RunFiles};
use sha2::{Digest as _, Sha256};
use slices::slices;
pub use stored_zip::END_LENGTH;
use stored_zip::{Entry, StoredZip};
use zip_stream::Search;

use crate::{
    auth::hex,
    clock,
    db::{
        Database,
        task::{self, Artifacts, Progress, Stored},
    },
    error::{Error, Unavailable},
    plan::{self, Artifact, RunFile, TaskId, TaskState, is_withheld},
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
    /// In bytes.
    pub size: u64,
    /// Hex SHA-256.
    pub sha256: String,
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
    let found = task::find_artifacts(database, id, owner, Some(artifact), END_LENGTH).await?;
    if let Some(Stored {
        size,
        sha256: Some(sha256),
        ..
    }) = found.wanted
    {
        return Ok(Description {
            size: check_size(size)?,
            sha256,
            is_stored: true,
        });
    }
    let download = open_elsewhere(database, found, artifact, false).await?;
    let is_stored = download.supports_ranges();
    let stream = download.into_stream(None).await?;
    let hashed = stream.try_fold((0_u64, Sha256::new()), |(size, hash), chunk| async move {
        Ok((size + chunk.len() as u64, hash.chain_update(&chunk)))
    });
    let hashed = clock::within(database.request().left(SCAN_LIMIT), hashed).await;
    let (size, hash) = hashed.ok_or(Unavailable::WorkerTimeout)??;
    Ok(Description {
        size,
        sha256: hex(&hash.finalize()),
        is_stored,
    })
}

/// A file that can be streamed. Its content is not read from the database before [`Download::into_stream`].
pub struct Download {
    /// In bytes, where it is known before reading.
    pub size: Option<u64>,
    /// Changes whenever the content changes: the hex SHA-256 of an artifact, or checksum and size of an archive's entry.
    /// `None` where neither is known before reading.
    pub validator: Option<String>,
    /// Whether the task has ended. The file does not change after that.
    pub has_ended: bool,
    source: Source,
}

/// Where a file comes from.
enum Source {
    Artifact {
        database: Database,
        id: TaskId,
        artifact: Artifact,
        stored: Stored,
    },
    Entry(StoredZip, Entry),
    WorkerPlan(ByteStream),
}

impl Download {
    /// Whether byte ranges of the file can be sent. `worker_plan` builds its archives anew for each call, so ranges of two
    /// calls do not fit together.
    #[must_use]
    pub fn supports_ranges(&self) -> bool {
        !matches!(self.source, Source::WorkerPlan(_))
    }

    /// The content, or a byte range of it, which must lie inside the file.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the archive is broken where the file should begin, and those of the database.
    pub async fn into_stream(self, range: Option<Range<u64>>) -> Result<ByteStream, Error> {
        match self.source {
            Source::Artifact {
                database,
                id,
                artifact,
                stored,
            } => {
                let range = range.unwrap_or(0..stored.size);
                Ok(slices(database, id, artifact, stored, range, u64::MAX).boxed_local())
            }
            Source::Entry(archive, entry) => archive.open_entry(&entry, range).await,
            Source::WorkerPlan(stream) => Ok(stream),
        }
    }

    /// A file that `worker_plan` sends.
    fn from_worker(size: Option<u64>, stream: ByteStream) -> Self {
        Self {
            size,
            validator: None,
            has_ended: false,
            source: Source::WorkerPlan(stream),
        }
    }

    fn from_entry(archive: StoredZip, entry: Entry) -> Result<Self, Error> {
        Ok(Self {
            size: entry.content()?.size(),
            validator: Some(entry.fingerprint()),
            has_ended: false,
            source: Source::Entry(archive, entry),
        })
    }
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
        RunFile::Artifact(artifact) => Some(*artifact),
        RunFile::Entry(_) => None,
    };
    let found = task::find_artifacts(database, id, owner, wanted, END_LENGTH).await?;
    let has_ended = found.progress.state.has_ended();
    let mut download = match (file, found.wanted.clone()) {
        (RunFile::Artifact(artifact), Some(stored)) => Download {
            size: Some(check_size(stored.size)?),
            validator: stored.sha256.clone(),
            has_ended: false,
            source: Source::Artifact {
                database: database.renewed(),
                id,
                artifact: *artifact,
                stored,
            },
        },
        (RunFile::Artifact(artifact), None) => open_elsewhere(database, found, *artifact, partial).await?,
        (RunFile::Entry(name), _) if is_withheld(name) => return Err(Unavailable::Withheld.into()),
        (RunFile::Entry(name), _) => open_entry(database, found, name).await?,
    };
    download.has_ended = has_ended;
    Ok(download)
}

/// Unix time of a task's end, where it is known.
pub async fn end_of(database: &Database, id: TaskId) -> Option<u64> {
    let event = task::find_event(database, id).await;
    event.at.filter(|at| *at <= clock::unix_time())
}

/// Opens an artifact that is not in its own column: a report in the archive, or a file that `worker_plan` still has.
async fn open_elsewhere(
    database: &Database,
    found: Artifacts,
    artifact: Artifact,
    partial: bool,
) -> Result<Download, Error> {
    let Artifacts {
        progress,
        archive,
        archive_end,
        ..
    } = found;
    if let (Artifact::Report, Some(stored), true) = (artifact, archive, progress.state.has_ended()) {
        let archive = StoredZip::new(database, progress.id, stored);
        match archive.find_entry(artifact.file_name(), archive_end).await {
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
        match open_at_worker(database, progress.id, artifact).await {
            Err(Error::ContentUnavailable(fault)) if is_gone(fault, progress.state) => {
                database.request().log_error(&fault.into());
            }
            opened => return opened,
        }
    }
    Err(absent(database, &progress).await)
}

/// Opens an entry of the archive: of the one in the database, else of the one that `worker_plan` makes.
async fn open_entry(database: &Database, found: Artifacts, name: &str) -> Result<Download, Error> {
    let Artifacts {
        progress,
        archive,
        archive_end,
        ..
    } = found;
    if let Some(stored) = archive {
        let archive = StoredZip::new(database, progress.id, stored);
        let entry = archive
            .find_entry(name, archive_end)
            .await?
            .ok_or(Unavailable::NoSuchFile)?;
        return Download::from_entry(archive, entry);
    }
    if progress.state == TaskState::Pending {
        return Err(absent(database, &progress).await);
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
    Err(absent(database, &progress).await)
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

/// The error for a file that the task has not made yet, or that was not kept.
async fn absent(database: &Database, progress: &Progress) -> Error {
    match progress.state {
        TaskState::Pending | TaskState::Running | TaskState::Stopping | TaskState::Stopped => Error::NotReady {
            state: progress.state,
            progress: progress.percentage,
        },
        TaskState::Completed => Unavailable::NotStored.into(),
        TaskState::Failed => {
            let event = task::find_event(database, progress.id).await;
            let reason = event.reason.as_deref();
            Error::GenerationFailed(plan::failure(progress.percentage, &progress.message, reason))
        }
    }
}

async fn open_at_worker(database: &Database, id: TaskId, artifact: Artifact) -> Result<Download, Error> {
    let worker = WorkerPlan::configured(database.request()).await?;
    let response = worker.open_artifact(id, artifact).await?;
    let size = response.size.map(check_size).transpose()?;
    Ok(Download::from_worker(size, bounded(response).boxed_local()))
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
