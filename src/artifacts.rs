//! The files of a run: from the database when it has them, else from `worker_plan`. Files are streamed.

pub(crate) mod archive;
pub(crate) mod feed;
mod listing;
pub(crate) mod passing;
pub(crate) mod unpack;
mod whole;

use std::{ops::Range, time::Duration};

pub use archive::END_LENGTH;
use archive::{Archive, Entry};
use bytes::Bytes;
pub use feed::Pieces;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
pub use listing::{File, Listing};
use passing::Passed;
use sha2::{Digest as _, Sha256};
pub use whole::{Whole, read};

use crate::{
    auth::hex,
    clock,
    db::{
        Database,
        task::{self, Artifacts, Progress, Stored},
    },
    error::{Error, Unavailable},
    plan::{self, Artifact, RunFile, TaskId, TaskState, is_withheld},
    worker_plan::{Arriving, WorkerPlan},
};

/// Larger files are not handed out.
pub const MAX_SIZE: u64 = 100_000_000;
/// Bytes of an archive that are read from the database at once.
const ZIP_SLICE: u64 = 256 * 1024;
/// Bytes of a report that are read from the database at once. Postgres unpacks the whole report for each slice.
const REPORT_SLICE: u64 = 4 * 1024 * 1024;
/// Time limit of the list of files, wherever it comes from.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// Time limit for reading a stream that is not sent on: a file that is hashed, an archive that is searched.
const PASSING_LIMIT: Duration = Duration::from_secs(25);

/// The size and hash of a file.
#[derive(Debug)]
pub struct Description {
    /// In bytes.
    pub size: u64,
    /// Hex SHA-256.
    pub sha256: String,
    /// Whether the database has the file. Else only `worker_plan` has it, and deletes it within seconds.
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
            size: within_bounds(size)?,
            sha256,
            is_stored: true,
        });
    }
    let download = open_elsewhere(database, found, artifact, false).await?;
    let is_stored = download.has_parts();
    let pieces = download.pieces(None).await?;
    let hashed = pieces.try_fold((0_u64, Sha256::new()), |(size, hash), piece| async move {
        Ok((size + piece.len() as u64, hash.chain_update(&piece)))
    });
    let hashed = clock::within(database.request().left(PASSING_LIMIT), hashed).await;
    let (size, hash) = hashed.ok_or(Unavailable::WorkerTimeout)??;
    Ok(Description {
        size,
        sha256: hex(&hash.finalize()),
        is_stored,
    })
}

/// A file that can be streamed. Nothing of it is read from the database before [`Download::pieces`].
pub struct Download {
    /// In bytes, where it is known beforehand.
    pub size: Option<u64>,
    /// Another value means other bytes: the hex SHA-256 of an artifact, checksum and size of an entry of the archive.
    /// `None` where nothing is known beforehand.
    pub validator: Option<String>,
    /// Whether the task has ended: the file has not changed since.
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
    Entry(Archive, Entry),
    Worker(Pieces),
}

impl Download {
    /// Whether a part of the file can be sent. `worker_plan` makes archives anew for each call: parts would not fit
    /// together.
    #[must_use]
    pub fn has_parts(&self) -> bool {
        !matches!(self.source, Source::Worker(_))
    }

    /// The bytes, or a part of them.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the archive is broken where the file should begin, and those of the database.
    pub async fn pieces(self, part: Option<Range<u64>>) -> Result<Pieces, Error> {
        match self.source {
            Source::Artifact {
                database,
                id,
                artifact,
                stored,
            } => {
                let range = part.unwrap_or(0..stored.size);
                Ok(slices(database, id, artifact, stored, range, u64::MAX).boxed_local())
            }
            Source::Entry(archive, entry) => archive.open(&entry, part).await,
            Source::Worker(pieces) => Ok(pieces),
        }
    }

    /// A file of `worker_plan`.
    fn from_worker(size: Option<u64>, pieces: Pieces) -> Self {
        Self {
            size,
            validator: None,
            has_ended: false,
            source: Source::Worker(pieces),
        }
    }

    fn from_entry(archive: Archive, entry: Entry) -> Result<Self, Error> {
        Ok(Self {
            size: entry.content()?.size(),
            validator: Some(entry.fingerprint()),
            has_ended: false,
            source: Source::Entry(archive, entry),
        })
    }
}

/// Begins the download of a file. An archive of an unfinished plan is given only if `partial` asks for that: a part must
/// not be taken for the whole.
///
/// # Errors
/// [`Error::TaskNotFound`]; [`Error::NotReady`], [`Error::GenerationFailed`] and [`Error::ContentUnavailable`] when there
/// is no such file; those of the database.
pub async fn open(
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
            size: Some(within_bounds(stored.size)?),
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

/// An artifact that its column does not have: a report in the archive, or a file that `worker_plan` still has.
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
        let archive = Archive::new(database, progress.id, stored);
        match archive.find(artifact.file_name(), archive_end).await {
            Ok(Some(entry)) => return Download::from_entry(archive, entry),
            // That the archive cannot be read is not why the task has no report.
            Err(error @ Error::ContentUnavailable(_)) => database.request().cause(&error),
            result => drop(result?),
        }
    }
    let may_be_at_worker = match (progress.state, artifact) {
        (TaskState::Pending, _) | (TaskState::Failed | TaskState::Stopped, Artifact::Report) => false,
        (TaskState::Running | TaskState::Stopping, artifact) => partial && artifact == Artifact::Zip,
        (TaskState::Completed | TaskState::Failed | TaskState::Stopped, _) => true,
    };
    if may_be_at_worker {
        match open_at_worker(database, progress.id, artifact).await {
            Err(Error::ContentUnavailable(fault)) if is_gone(fault, progress.state) => {
                database.request().cause(&fault.into());
            }
            opened => return opened,
        }
    }
    Err(absent(database, &progress).await)
}

/// A file out of the archive: that of the database, else that of `worker_plan`.
async fn open_entry(database: &Database, found: Artifacts, name: &str) -> Result<Download, Error> {
    let Artifacts {
        progress,
        archive,
        archive_end,
        ..
    } = found;
    if let Some(stored) = archive {
        let archive = Archive::new(database, progress.id, stored);
        let entry = archive.find(name, archive_end).await?.ok_or(Unavailable::NoSuchFile)?;
        return Download::from_entry(archive, entry);
    }
    if progress.state == TaskState::Pending {
        return Err(absent(database, &progress).await);
    }
    let limit = database.request().left(PASSING_LIMIT);
    let found = clock::within(limit, find_at_worker(database, progress.id, name)).await;
    match found.unwrap_or(Err(Unavailable::WorkerTimeout.into())) {
        Ok(Some(download)) => return Ok(download),
        Ok(None) if progress.state.has_ended() => return Err(Unavailable::NoSuchFile.into()),
        Ok(None) => {}
        Err(Error::ContentUnavailable(fault)) if is_gone(fault, progress.state) => {
            database.request().cause(&fault.into());
        }
        Err(error) => return Err(error),
    }
    Err(absent(database, &progress).await)
}

/// Whether what `worker_plan` answers means that there is no file. Once a task has ended, its folder is deleted within
/// seconds. Then it makes no difference that the service is not there, or for a task that was stopped or has failed, that
/// it does not work.
fn is_gone(fault: Unavailable, state: TaskState) -> bool {
    match state {
        TaskState::Failed | TaskState::Stopped => fault.is_temporary() || fault == Unavailable::NoSuchFile,
        TaskState::Completed => matches!(fault, Unavailable::NoSuchFile | Unavailable::WorkerUnreachable),
        TaskState::Pending | TaskState::Running | TaskState::Stopping => fault == Unavailable::NoSuchFile,
    }
}

/// The error for a file that a task has not made, or that was not kept.
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
    let arriving = worker.open(id, artifact).await?;
    let size = arriving.size.map(within_bounds).transpose()?;
    Ok(Download::from_worker(size, bounded(arriving).boxed_local()))
}

/// An entry of the archive that `worker_plan` makes; `None` when the archive lacks it. When all files of the archive are
/// in one folder, it is read a second time.
async fn find_at_worker(database: &Database, id: TaskId, name: &str) -> Result<Option<Download>, Error> {
    let worker = WorkerPlan::configured(database.request()).await?;
    let mut wanted = name.to_owned();
    for _ in 0..2 {
        let arriving = worker.open(id, Artifact::Zip).await?;
        if arriving.size.is_some_and(|size| size > MAX_SIZE) {
            return Err(Unavailable::ArchiveTooLarge.into());
        }
        match passing::find(bounded(arriving).boxed_local(), &wanted).await? {
            Passed::Found(feed, content) => {
                let pieces = unpack::unpacked(feed, content);
                return Ok(Some(Download::from_worker(content.size(), pieces)));
            }
            Passed::Absent(Some(top)) => wanted = format!("{top}/{name}"),
            Passed::Absent(None) => break,
        }
    }
    Ok(None)
}

/// A part of an artifact in the database, slice by slice. Each slice is a statement of its own with its own time limit,
/// so that a slow reader holds no connection. The first slice is not longer than `first`.
fn slices(
    database: Database,
    id: TaskId,
    artifact: Artifact,
    stored: Stored,
    range: Range<u64>,
    first: u64,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let most = match artifact {
        Artifact::Report => REPORT_SLICE,
        Artifact::Zip => ZIP_SLICE,
    };
    stream::try_unfold(
        (stored, range.start, first.min(most)),
        move |(mut stored, offset, length)| {
            let database = database.renewed();
            let end = range.end;
            async move {
                if offset >= end {
                    return Ok(None);
                }
                let length = length.min(end - offset);
                let bytes = read_slice(&database, id, artifact, &mut stored, offset, length).await?;
                Ok(Some((bytes, (stored, offset + length, most))))
            }
        },
    )
}

/// A slice of an artifact. Other services update a row while it is read: PlanExe's worker when the task ends, its web
/// frontend when a user looks at the task. Such an update gives the row another version; reading goes on with it when
/// size and hash of the artifact are the same. The hash of an archive is not known where one of its entries is read: the
/// entry's own checksum is compared at its end. Each look at the hash of a large archive takes some tenths of a second.
async fn read_slice(
    database: &Database,
    id: TaskId,
    artifact: Artifact,
    stored: &mut Stored,
    offset: u64,
    length: u64,
) -> Result<Bytes, Error> {
    const ATTEMPTS: usize = 5;
    let changed = || Error::Internal("the artifact changed while it was read".to_owned());
    for _ in 0..ATTEMPTS {
        if let Some(bytes) = task::read_artifact(database, id, artifact, stored, offset, length).await? {
            return if bytes.len() as u64 == length {
                Ok(bytes.into())
            } else {
                Err(Error::Internal("the artifact is shorter than its size".to_owned()))
            };
        }
        let wanted = stored.sha256.as_ref().map(|_| artifact);
        // Who may read it has been checked when the reading began.
        let found = task::find_artifacts(database, id, None, wanted, 0).await;
        let found = match found {
            Err(Error::TaskNotFound) => return Err(changed()),
            found => found?,
        };
        let now = if wanted.is_some() { found.wanted } else { found.archive };
        match now {
            Some(now) if now.size == stored.size && now.sha256 == stored.sha256 => *stored = now,
            _ => return Err(changed()),
        }
    }
    Err(Error::DatabaseUnavailable(
        "the row changed again and again while it was read".to_owned(),
    ))
}

/// A file of `worker_plan`. A file that grows beyond [`MAX_SIZE`] ends in an error.
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
