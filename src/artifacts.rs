//! The files of a run: from the database when it has them, else from `worker_plan`. Files pass through in pieces.

mod archive;
mod feed;
#[cfg(fuzzing)]
pub mod fuzzing;
mod passing;
mod unpack;
mod whole;

use std::{
    fmt::{self, Write as _},
    ops::Range,
    time::Duration,
};

pub use archive::END_LENGTH;
use archive::{Archive, Entry, Names};
use bytes::Bytes;
pub use feed::Pieces;
use futures::{Stream, StreamExt as _, TryStreamExt as _, stream};
use passing::Passed;
use sha2::{Digest as _, Sha256};
pub use whole::{Whole, read};

use crate::{
    auth::{caller::Caller, hex},
    clock,
    db::{
        Database,
        task::{self, ArchiveEnd, Progress, Status, StoredArchive, StoredArtifact},
    },
    error::{Error, Unavailable},
    plan::{Artifact, RunFile, TaskId, TaskState, is_inside},
    worker_plan::{Arriving, WorkerPlan},
};

/// Larger files are not handed out.
pub const MAX_SIZE: u64 = 100_000_000;
/// Bytes that are read from the database at once.
const SLICE: u64 = 256 * 1024;
/// How long the list of files may take, wherever it comes from.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// How long a file may pass by that nobody receives: one that is hashed, or an archive in which an entry is sought.
const PASSING_LIMIT: Duration = Duration::from_secs(25);

/// A file of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// Its name.
    pub name: String,
    /// `None` when the source does not tell.
    pub updated_at: Option<Moment>,
}

/// Date and time as archives keep them, the form of MS-DOS: as the clock of the worker showed them, which runs in UTC.
/// Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    /// From the upper bits on: 7 for the years since 1980, 4 for the month, 5 for the day.
    date: u16,
    /// From the upper bits on: 5 for the hour, 6 for the minute, 5 for pairs of seconds.
    time: u16,
}

impl Moment {
    /// `None` for what is no date.
    fn new(date: u16, time: u16) -> Option<Self> {
        let is_date = (1..=12).contains(&((date >> 5) & 15)) && date & 31 > 0;
        let is_time = time >> 11 < 24 && (time >> 5) & 63 < 60 && time & 31 < 30;
        (is_date && is_time).then_some(Self { date, time })
    }
}

/// RFC 3339.
impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { date, time } = self;
        let (year, month, day) = (1980 + (date >> 9), (date >> 5) & 15, date & 31);
        let (hour, minute, second) = (time >> 11, (time >> 5) & 63, (time & 31) * 2);
        // Digit by digit: six padded numbers for each of ten files would be a tenth of what `task_status` costs.
        for (number, then) in [
            (year / 100, ""),
            (year % 100, "-"),
            (month, "-"),
            (day, "T"),
            (hour, ":"),
            (minute, ":"),
            (second, "Z"),
        ] {
            for digit in [number / 10, number % 10] {
                f.write_char(char::from_digit(digit.into(), 10).unwrap_or('0'))?;
            }
            f.write_str(then)?;
        }
        Ok(())
    }
}

/// The newest files of a run, `limit` at the most. Never fails and never takes longer than two seconds: without a
/// source the list is empty.
pub async fn newest_files(
    database: &Database,
    archive: Option<ArchiveEnd>,
    status: &Status,
    limit: usize,
) -> Vec<File> {
    let listed = clock::within(database.record().left(LIST_LIMIT), list(database, archive, status)).await;
    let listed = listed.unwrap_or_else(|| Err(Error::Internal("the list of files took too long".to_owned())));
    let listing = listed.unwrap_or_else(|error| {
        database.record().cause(&error);
        Listing::Worker(Vec::new())
    });
    newest(listing.files(), limit)
}

/// The newest of these files that can be asked for by their names, `limit` at the most.
fn newest(mut files: Vec<(Option<Moment>, &[u8])>, limit: usize) -> Vec<File> {
    // Where times are missing or equal, a later stage of the pipeline has the higher number in front of its name.
    files.sort_unstable_by(|a, b| b.cmp(a));
    let mut newest: Vec<File> = Vec::with_capacity(limit);
    for (updated_at, name) in files {
        if newest.len() == limit {
            break;
        }
        let name = String::from_utf8_lossy(name);
        // What could not be asked for by its name is not shown. Of two with the same name, as archives may have them,
        // one counts.
        if name != "log.txt" && is_inside(&name) && newest.iter().all(|other| other.name != name) {
            newest.push(File {
                name: name.into_owned(),
                updated_at,
            });
        }
    }
    newest
}

/// The files of a run as their source names them.
enum Listing {
    Archive(Names),
    Worker(Vec<String>),
}

impl Listing {
    fn files(&self) -> Vec<(Option<Moment>, &[u8])> {
        match self {
            Self::Archive(names) => names.files().collect(),
            Self::Worker(names) => names.iter().map(|name| (None, name.as_bytes())).collect(),
        }
    }
}

async fn list(database: &Database, archive: Option<ArchiveEnd>, status: &Status) -> Result<Listing, Error> {
    let Progress { id, state, .. } = &status.progress;
    match (archive, state) {
        (Some(ArchiveEnd { size, bytes }), _) => {
            let archive = Archive {
                database,
                id,
                version: &status.version,
                size,
            };
            Ok(Listing::Archive(archive.names(bytes).await?))
        }
        // Nobody has begun.
        (None, TaskState::Pending) => Ok(Listing::Worker(Vec::new())),
        (None, _) => Ok(Listing::Worker(list_from_worker(database, id).await?)),
    }
}

async fn list_from_worker(database: &Database, id: &str) -> Result<Vec<String>, Error> {
    match WorkerPlan::configured(database.record()).await?.list_files(id).await {
        Err(Unavailable::NoSuchFile) => Ok(Vec::new()),
        listed => Ok(listed?),
    }
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
    caller: &Caller,
    artifact: Artifact,
) -> Result<(Progress, Option<Description>), Error> {
    let (progress, stored) = task::find_artifact(database, id, caller, artifact).await?;
    let description = match stored {
        Some(StoredArtifact { size, sha256, .. }) => Some(Description {
            size: within_bounds(size)?,
            sha256,
        }),
        None if progress.state == TaskState::Completed => {
            Some(describe_from_worker(database, &progress.id, artifact).await?)
        }
        None => None,
    };
    Ok((progress, description))
}

/// Size and hash of a file that only `worker_plan` has: it must be seen whole, but never is held whole.
async fn describe_from_worker(database: &Database, id: &str, artifact: Artifact) -> Result<Description, Error> {
    let arriving = WorkerPlan::configured(database.record())
        .await?
        .open(id, artifact)
        .await?;
    let hashed = bounded(arriving).try_fold((0_u64, Sha256::new()), |(size, hash), piece| async move {
        Ok((size + piece.len() as u64, hash.chain_update(&piece)))
    });
    let hashed = clock::within(database.record().left(PASSING_LIMIT), hashed).await;
    let (size, hash) = hashed.ok_or(Unavailable::WorkerTimeout)??;
    Ok(Description {
        size,
        sha256: hex(&hash.finalize()),
    })
}

/// A file on its way to the caller. Nothing of it is read from the database before [`Download::pieces`].
pub struct Download {
    /// In bytes, where it is known beforehand.
    pub size: Option<u64>,
    /// Another value means other bytes: hex SHA-256 of an artifact, of an entry of the archive the version of the row
    /// with checksum and size. `None` where nothing is known beforehand.
    pub validator: Option<String>,
    /// Unix time since which the file is as it is, where it is known.
    pub modified: Option<u64>,
    source: Source,
}

/// Where a file comes from.
enum Source {
    Artifact {
        database: Database,
        id: String,
        artifact: Artifact,
        version: String,
        size: u64,
    },
    Entry {
        database: Database,
        id: String,
        archive: StoredArchive,
        entry: Entry,
    },
    Worker(Pieces),
}

impl Download {
    /// Whether a part of the file can be had. The worker makes archives afresh for each call: parts would not fit
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
                version,
                size,
            } => {
                let range = part.unwrap_or(0..size);
                Ok(slices(database, id, artifact, version, range, SLICE).boxed_local())
            }
            Source::Entry {
                database,
                id,
                archive: StoredArchive { size, version, .. },
                entry,
            } => {
                let archive = Archive {
                    database: &database,
                    id: &id,
                    version: &version,
                    size,
                };
                archive.open(&entry, part).await
            }
            Source::Worker(pieces) => Ok(pieces),
        }
    }
}

/// Begins the download of a file.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::NotReady`], [`Error::GenerationFailed`], [`Error::ContentUnavailable`], and those
/// of the database.
pub async fn open(database: &Database, id: TaskId, caller: &Caller, file: &RunFile) -> Result<Download, Error> {
    match file {
        RunFile::Artifact(artifact) => open_artifact(database, id, caller, *artifact).await,
        RunFile::Entry(name) => open_entry(database, id, caller, name).await,
    }
}

async fn open_artifact(
    database: &Database,
    id: TaskId,
    caller: &Caller,
    artifact: Artifact,
) -> Result<Download, Error> {
    let (progress, stored) = task::find_artifact(database, id, caller, artifact).await?;
    if let Some(stored) = stored {
        let size = within_bounds(stored.size)?;
        return Ok(Download {
            size: Some(size),
            validator: Some(stored.sha256),
            modified: stored.modified,
            source: Source::Artifact {
                database: database.renewed(),
                id: progress.id,
                artifact,
                version: stored.version,
                size,
            },
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
            let arriving = WorkerPlan::configured(database.record())
                .await?
                .open(&progress.id, artifact)
                .await?;
            let size = arriving.size.map(within_bounds).transpose()?;
            Ok(Download::passing(size, bounded(arriving).boxed_local()))
        }
    }
}

async fn open_entry(database: &Database, id: TaskId, caller: &Caller, name: &str) -> Result<Download, Error> {
    let (progress, stored) = task::find_archive(database, id, caller).await?;
    let Some(archive) = stored else {
        if progress.state == TaskState::Pending {
            return Err(Error::NotReady {
                state: progress.state,
                progress: progress.percentage,
            });
        }
        let found = clock::within(
            database.record().left(PASSING_LIMIT),
            find_at_worker(database, &progress.id, name),
        )
        .await;
        return found.ok_or(Unavailable::WorkerTimeout)?;
    };
    let entries = Archive {
        database,
        id: &progress.id,
        version: &archive.version,
        size: within_bounds(archive.size)?,
    };
    let mut entries = entries.entries().await?.into_iter().rev();
    let entry = entries
        .find(|entry| entry.name() == name)
        .ok_or(Unavailable::NoSuchFile)?;
    Ok(Download {
        size: entry.content()?.size(),
        validator: Some(format!("{}-{}", archive.version, entry.fingerprint())),
        modified: archive.modified,
        source: Source::Entry {
            database: database.renewed(),
            id: progress.id,
            archive,
            entry,
        },
    })
}

/// An entry of the archive that the worker makes. When the archive turns out to have a folder around all of its files,
/// it is asked for a second time.
async fn find_at_worker(database: &Database, id: &str, name: &str) -> Result<Download, Error> {
    let worker = WorkerPlan::configured(database.record()).await?;
    let mut wanted = name.to_owned();
    for _ in 0..2 {
        let pieces = bounded(worker.open(id, Artifact::Zip).await?).boxed_local();
        match passing::find(pieces, &wanted).await? {
            Passed::Found(feed, content) => {
                return Ok(Download::passing(content.size(), unpack::unpacked(feed, content)));
            }
            Passed::Absent(Some(top)) => wanted = format!("{top}/{name}"),
            Passed::Absent(None) => break,
        }
    }
    Err(Unavailable::NoSuchFile.into())
}

impl Download {
    /// A file of the worker: it passes by once.
    fn passing(size: Option<u64>, pieces: Pieces) -> Self {
        Self {
            size,
            validator: None,
            modified: None,
            source: Source::Worker(pieces),
        }
    }
}

/// A part of an artifact in the database, slice by slice. Each slice is a statement of its own with its own time limit,
/// so that a slow reader holds no connection. The first slice is not longer than `first`.
fn slices(
    database: Database,
    id: String,
    artifact: Artifact,
    version: String,
    range: Range<u64>,
    first: u64,
) -> impl Stream<Item = Result<Bytes, Error>> {
    stream::try_unfold(
        (database, id, version, range.start, first),
        move |(database, id, version, offset, most)| async move {
            if offset >= range.end {
                return Ok(None);
            }
            let length = SLICE.min(most).min(range.end - offset);
            let bytes = task::read_artifact(&database.renewed(), &id, artifact, &version, offset, length).await?;
            if bytes.len() as u64 != length {
                return Err(Error::Internal("the artifact is shorter than it was".to_owned()));
            }
            Ok(Some((
                Bytes::from(bytes),
                (database, id, version, offset + length, SLICE),
            )))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_and_written() {
        let date = |year: u16, month: u16, day: u16| ((year - 1980) << 9) | (month << 5) | day;
        let time = |hour: u16, minute: u16, second: u16| (hour << 11) | (minute << 5) | (second / 2);
        for (date, time, text) in [
            (date(1980, 1, 1), time(0, 0, 0), Some("1980-01-01T00:00:00Z")),
            (date(2026, 11, 22), time(23, 59, 58), Some("2026-11-22T23:59:58Z")),
            (date(2107, 12, 31), time(9, 5, 6), Some("2107-12-31T09:05:06Z")),
            (0, 0, None),
            (date(2026, 13, 1), 0, None),
            (date(2026, 0, 1), 0, None),
            (date(2026, 1, 0), 0, None),
            (date(2026, 1, 1), time(24, 0, 0), None),
            (date(2026, 1, 1), time(0, 60, 0), None),
            (date(2026, 1, 1), time(0, 0, 60), None),
        ] {
            let written = Moment::new(date, time).map(|moment| moment.to_string());
            assert_eq!(written.as_deref(), text, "{date:#x} {time:#x}");
        }
    }
}
