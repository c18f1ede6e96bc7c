//! What the database knows of a plan: its state, its event, its artifacts.

use std::rc::Rc;

use serde::Deserialize;

use super::{Database, Row, Statement, decode_state, found, optional_text, parts::Parts, text, unsigned};
use crate::{
    clock,
    error::Error,
    host::Parameter,
    plan::{Artifact, Percentage, TaskId, TaskState},
};

/// State and progress of a task.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The task's id.
    pub id: TaskId,
    /// The public state.
    pub state: TaskState,
    /// How far the plan is; 100 % once the task is completed.
    pub percentage: Percentage,
    /// The worker's last message; blank before the first.
    pub message: String,
}

impl Progress {
    /// Decodes what statements about a plan have in common, with the state as the database has it.
    fn decode(row: &mut Row, id: TaskId, state: &str, stop_requested: bool) -> Result<Self, Error> {
        let state = decode_state(state, stop_requested)?;
        Ok(Self {
            id,
            state,
            percentage: Percentage::of(state, row.take("progress_percentage")?),
            message: row.take("progress_message")?,
        })
    }
}

/// What the status tools show of a plan.
#[derive(Debug)]
pub struct Status {
    /// State and progress.
    pub progress: Progress,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: Option<String>,
    /// Seconds from the creation until now, or until the end. `None` for a plan whose end is only in its [`Event`].
    pub elapsed: Option<f64>,
    /// Unix time at which the worker last wrote its progress.
    pub progressed: Option<u64>,
    /// Seconds since the last sign of a worker: of a pending plan of any, else of the one that has the plan.
    pub worker_seen: Option<f64>,
    /// The archive; `None` when the database does not have it.
    pub archive: Option<ArchiveEnd>,
    /// Whether the database has the report.
    pub has_report: bool,
    /// What workers write since March 2026.
    pub columns: Columns,
}

/// What workers write since March 2026: how far they are, in steps, and why a plan failed.
#[derive(Debug, Default, Deserialize)]
pub struct Columns {
    /// Steps that are done.
    pub steps_completed: Option<i64>,
    /// Steps of the whole plan.
    pub steps_total: Option<i64>,
    /// The step in words.
    pub current_step: Option<String>,
    /// The category of a failure, such as `generation_error`.
    pub failure_reason: Option<String>,
    /// The step at which the plan failed.
    pub failed_step: Option<String>,
    /// A sentence of PlanExe's about the failure.
    pub error_message: Option<String>,
    /// Whether a worker may go on where this one stopped.
    pub recoverable: Option<bool>,
}

/// An archive in the database, of which the end has been read.
#[derive(Debug)]
pub struct ArchiveEnd {
    /// The archive, without its hash.
    pub stored: Stored,
    /// Its last bytes.
    pub bytes: Vec<u8>,
}

/// Finds a plan among those of an owner; `None`: among all. Of its archive, the last `end_length` bytes are read. Without
/// `all_columns`, those that builds after February 2026 have added to `task_item` are left out: looking for them takes
/// Postgres as long as all the rest.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::query`].
pub async fn find_status(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    end_length: u32,
    all_columns: bool,
) -> Result<Status, Error> {
    let parameters = vec![text(id.to_string()), optional_text(owner), length(end_length.into())];
    let conditions: &[&str] = if all_columns { &["lacking"] } else { &[] };
    let statement = Statement(include_str!("find_status.sql"), conditions);
    let mut row = found(database.query(statement, parameters).await?)?;
    let size = unsigned(row.take("archive_size")?);
    let bytes: Option<Vec<u8>> = row.take("archive_end")?;
    let version: String = row.take("version")?;
    let archive = size.zip(bytes).map(|(size, bytes)| ArchiveEnd {
        stored: Stored {
            size,
            sha256: None,
            version,
            parts: None,
        },
        bytes,
    });
    let (state, stop_requested): (String, bool) = (row.take("state")?, row.take("stop_requested")?);
    let created: Option<f64> = row.take("creation")?;
    let progressed: Option<f64> = row.take("progress")?;
    let end: Option<f64> = match (state.as_str(), stop_requested) {
        ("completed" | "failed", _) => progressed,
        ("stopped", _) | ("pending", true) => row.take("stop")?,
        _ => row.take("present")?,
    };
    let columns: Option<String> = row.take("columns")?;
    let columns = columns.map_or(Ok(Columns::default()), |columns| serde_json::from_str(&columns));
    let unix = |seconds: f64| seconds.max(0.0) as u64;
    Ok(Status {
        progress: Progress::decode(&mut row, id, &state, stop_requested)?,
        created_at: created.map(unix).map(clock::rfc3339),
        elapsed: end.zip(created).map(|(end, created)| end - created),
        progressed: progressed.map(unix),
        worker_seen: row.take("worker_seen")?,
        archive,
        has_report: row.take("has_report")?,
        columns: columns.map_err(|error| Error::Internal(error.to_string()))?,
    })
}

/// The event of a task's present state: of a task in work its claim, of an ended one its end.
#[derive(Debug, Default)]
pub struct Event {
    /// Unix time; `None` when no event was found.
    pub at: Option<u64>,
    /// Seconds from the task's creation to it.
    pub elapsed: Option<f64>,
    /// Seconds from it until now.
    pub age: Option<f64>,
    /// Why the task failed, in PlanExe's words, at most 300 characters.
    pub reason: Option<String>,
}

/// Finds the event of a task's present state. `find_event.sql` says how far it looks. A fault is logged and gives an
/// event of which nothing is known: neither a state nor a file depends on it.
pub async fn find_event(database: &Database, id: TaskId) -> Event {
    let found = async {
        let parameters = vec![text(id.to_string())];
        let mut row = database.query(include_str!("find_event.sql"), parameters).await?;
        Ok(Event {
            at: unsigned(row.take("at")?),
            elapsed: row.take("elapsed")?,
            age: row.take("age")?,
            reason: row.take("reason")?,
        })
    };
    let found = found
        .await
        .inspect_err(|error: &Error| database.request().log_error(error));
    found.unwrap_or_default()
}

/// An artifact in the database, described but not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// In bytes, as it is stored.
    pub size: u64,
    /// Hex SHA-256 of what is handed out; `None` where it was not asked for.
    pub sha256: Option<String>,
    /// The row's version. Any update of the row changes it, also one that leaves the artifact as it is.
    pub version: String,
    /// What of it is handed out; `None`: all of it.
    pub parts: Option<Rc<Parts>>,
}

/// A task and what the database has of its artifacts.
#[derive(Debug)]
pub struct Artifacts {
    /// State and progress.
    pub progress: Progress,
    /// The artifact that was asked for, with its hash; `None` when the database does not have it, or has an archive that
    /// may hold provider payloads.
    pub wanted: Option<Stored>,
    /// The archive, without its hash; `None` when the database does not have it.
    pub archive: Option<Stored>,
    /// The last bytes of the archive, when its directory is needed: for any file but the two artifacts, for a report that is
    /// not in its column, for an archive that may hold provider payloads.
    pub archive_end: Option<Vec<u8>>,
    /// The version of what is in the archive; `None` where the schema does not know versions.
    pub layout: Option<u64>,
    /// Unix time of the plan's end, where the row has it.
    pub ended: Option<u64>,
    /// Why the plan failed, where the row has it.
    pub failure: Option<String>,
}

/// Finds a task among those of an owner (`None`: among all), with the description of an artifact. Hashing takes time that
/// grows with the artifact: without a wanted artifact nothing is hashed. `end_length` bounds the end of the archive.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::query`].
pub async fn find_artifacts(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    wanted: Option<Artifact>,
    end_length: u32,
) -> Result<Artifacts, Error> {
    let parameters = vec![
        text(id.to_string()),
        optional_text(owner),
        optional_text(wanted.map(column_choice)),
        length(end_length.into()),
    ];
    let mut row = found(database.query(include_str!("find_artifact.sql"), parameters).await?)?;
    let (state, stop_requested): (String, bool) = (row.take("state")?, row.take("stop_requested")?);
    let size = unsigned(row.take("size")?);
    let sha256: Option<String> = row.take("sha256")?;
    let archive_size = unsigned(row.take("archive_size")?);
    let version: String = row.take("version")?;
    let stored = |size, sha256| Stored {
        size,
        sha256,
        version: version.clone(),
        parts: None,
    };
    Ok(Artifacts {
        progress: Progress::decode(&mut row, id, &state, stop_requested)?,
        wanted: size.zip(sha256).map(|(size, sha256)| stored(size, Some(sha256))),
        archive: archive_size.map(|size| stored(size, None)),
        archive_end: row.take("archive_end")?,
        layout: unsigned(row.take("layout")?),
        ended: unsigned(row.take("ended")?),
        failure: row.take("error_message")?,
    })
}

/// A length or an offset as a parameter.
fn length(number: u64) -> Parameter {
    Parameter::Int32(i32::try_from(number).unwrap_or(i32::MAX))
}

/// A slice of an artifact, at most so many `bytes` from `offset` on; `None` when the row's version is another one than
/// `stored` has.
///
/// # Errors
/// Those of [`Database::query`].
pub async fn read_artifact(
    database: &Database,
    id: TaskId,
    artifact: Artifact,
    stored: &Stored,
    offset: u64,
    bytes: u64,
) -> Result<Option<Vec<u8>>, Error> {
    let statement = match artifact {
        Artifact::Report => include_str!("read_report.sql"),
        Artifact::Zip => include_str!("read_zip.sql"),
    };
    let parameters = vec![
        text(id.to_string()),
        text(&stored.version),
        length(offset.saturating_add(1)),
        length(bytes),
    ];
    database.query(statement, parameters).await?.take("bytes")
}

/// How `find_artifact.sql` is told which column to look at.
fn column_choice(artifact: Artifact) -> &'static str {
    match artifact {
        Artifact::Report => "report",
        Artifact::Zip => "zip",
    }
}
