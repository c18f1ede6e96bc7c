//! The table `task_item`, and what is written together with a task: its event, its charge, its ledger entry.

use spin_sdk::pg::ParameterValue;

use super::{Database, Row, optional_text, text};
use crate::{
    auth::caller::Caller,
    error::Error,
    plan::{Artifact, Detail, TaskId, TaskState},
};

/// A task to be created.
#[derive(Debug)]
pub struct NewTask<'a> {
    /// What the plan is for.
    pub prompt: &'a str,
    /// How much work it is worth.
    pub detail: Detail,
    /// Hash of the key of the user who pays and owns the task; `None` for the operator.
    pub user_key_hash: Option<&'a str>,
    /// Who calls: a user too, perhaps another one.
    pub caller: &'a Caller,
    /// Credits that the user pays.
    pub price: i32,
    /// The caller's own id of the request: the same id of the same owner is the same task.
    pub client_request_id: Option<&'a str>,
    /// Seconds in which the same prompt of the same owner leads to the first task, as long as that is live; 0: never, as
    /// with a request id.
    pub repeat_window: f64,
    /// Salt of ids that are derived from request ids.
    pub salt: &'a str,
}

/// The task that a `task_create` led to.
#[derive(Debug)]
pub struct Created {
    /// Its id.
    pub id: String,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: String,
    /// Whether an earlier call had created it; nothing was charged then.
    pub repeated: bool,
    /// Credits that the user has left; `None` for the operator.
    pub balance: Option<i64>,
}

/// A task that an earlier call created, or that this one has.
struct Found {
    id: Option<String>,
    created_at: Option<String>,
    same_prompt: bool,
    same_detail: bool,
}

impl Found {
    /// The four columns that both statements have.
    fn decode(row: &mut Row) -> Result<Self, Error> {
        Ok(Self {
            id: row.next("id")?,
            created_at: row.next("created_at")?,
            same_prompt: row.next("same_prompt")?,
            same_detail: row.next("same_detail")?,
        })
    }
}

/// Creates a task and all that belongs to it in one statement, or finds the one that an earlier call created.
///
/// # Errors
/// [`Error::InvalidUserKey`], [`Error::InsufficientCredits`], [`Error::RequestIdReused`], and those of
/// [`Database::query`].
pub async fn create(database: &Database, new: &NewTask<'_>) -> Result<Created, Error> {
    let parameters = vec![
        text(TaskId::random().to_string()),
        text(new.prompt),
        text(new.detail.stored()),
        optional_text(new.user_key_hash),
        ParameterValue::Int32(new.price),
        optional_text(new.client_request_id),
        ParameterValue::Floating64(new.repeat_window),
        text(new.salt),
        optional_text(match new.caller {
            // Without a key of the connection, that of the call is all there is to check.
            Caller::Anonymous(_) => None,
            caller => caller.key_hash(),
        }),
        text(new.detail.name()),
    ];
    // Run twice, the statement finds what the first run made: by the request id, or by the claim of the prompt.
    let repeatable = new.client_request_id.is_some() || new.repeat_window > 0.0;
    let rows = database
        .change(include_str!("create_task.sql"), parameters, repeatable)
        .await;
    let row = rows.inspect_err(|_| new.caller.unanswered())?.into_iter().next();
    let mut row = row.ok_or_else(|| Error::Internal("create_task.sql returned no row".to_owned()))?;
    new.caller.settle(row.next("admitted")?)?;
    if !row.next::<bool>("known")? {
        return Err(Error::InvalidUserKey);
    }
    let created: bool = row.next("created")?;
    let mut found = Found::decode(&mut row)?;
    let balance: Option<i64> = row.next("balance")?;
    if found.created_at.is_none() && repeatable {
        // The statement created nothing and did not see why: another call was first, or the credits do not suffice.
        found = find_created(database, new, found.id).await?;
    }
    match (found.id.zip(found.created_at), balance) {
        (Some(_), _) if !(found.same_prompt && found.same_detail) => Err(Error::RequestIdReused {
            same_prompt: found.same_prompt,
            same_detail: found.same_detail,
        }),
        (Some((id, created_at)), balance) => Ok(Created {
            id,
            created_at,
            repeated: !created,
            balance,
        }),
        (None, Some(balance)) => Err(Error::InsufficientCredits {
            balance,
            price: new.price.into(),
        }),
        (None, None) => Err(Error::Internal(
            "the task's id is taken by another owner's task".to_owned(),
        )),
    }
}

/// Looks for the task of an earlier call again. `id` is that of the request id.
async fn find_created(database: &Database, new: &NewTask<'_>, id: Option<String>) -> Result<Found, Error> {
    let parameters = vec![
        optional_text(id),
        text(new.prompt),
        text(new.detail.stored()),
        optional_text(new.user_key_hash),
        ParameterValue::Floating64(new.repeat_window),
    ];
    let row = database
        .query_optional(include_str!("find_created.sql"), parameters)
        .await?;
    let mut row = row.ok_or_else(|| Error::Internal("find_created.sql returned no row".to_owned()))?;
    Found::decode(&mut row)
}

/// State and progress of a task.
#[derive(Debug, Clone)]
pub struct Progress {
    /// The id under which the task is stored; a legacy id leads here too.
    pub id: String,
    /// The public state.
    pub state: TaskState,
    /// 0 to 100; 100 once it is completed.
    pub percentage: f64,
    /// The worker's last message, blank before the first.
    pub message: String,
}

impl Progress {
    /// The five columns that every statement about a task begins with.
    fn decode(row: &mut Row) -> Result<Self, Error> {
        let id = row.next("id")?;
        let state: String = row.next("state")?;
        let state = decode_state(&state, row.next("stop_requested")?)?;
        let percentage: f64 = row.next("progress_percentage")?;
        let percentage = if state == TaskState::Completed {
            100.0
        } else {
            percentage.clamp(0.0, 100.0)
        };
        Ok(Self {
            id,
            state,
            percentage,
            message: row.next("progress_message")?,
        })
    }
}

/// What `task_status` shows of a task.
#[derive(Debug)]
pub struct Status {
    /// State and progress.
    pub progress: Progress,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: Option<String>,
    /// Seconds from creation until now, or until the end as far as the database knows it.
    pub elapsed: Option<f64>,
    /// The archive; `None` when the database does not have it.
    pub archive: Option<ArchiveEnd>,
    /// The row's version, as in [`StoredArtifact`].
    pub version: String,
}

/// An archive in the database, of which the end has been read.
#[derive(Debug)]
pub struct ArchiveEnd {
    /// Size of the archive in bytes.
    pub size: u64,
    /// Its last bytes.
    pub bytes: Vec<u8>,
}

/// Finds a task by its id, or by a legacy id when no task has it, among those that the caller sees. Of its archive, the
/// last `end_length` bytes come along.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::ApiKeyWrong`], and those of [`Database::query`].
pub async fn find_status(database: &Database, id: TaskId, caller: &Caller, end_length: u32) -> Result<Status, Error> {
    const STATEMENT: &str = concat!(include_str!("caller.sql"), include_str!("find_status.sql"));
    let parameters = vec![
        text(id.to_string()),
        optional_text(caller.key_hash()),
        ParameterValue::Int32(i32::try_from(end_length).unwrap_or(i32::MAX)),
    ];
    let mut row = found(database.query(STATEMENT, parameters).await, caller)?;
    Ok(Status {
        progress: Progress::decode(&mut row)?,
        created_at: row.next("timestamp_created")?,
        elapsed: row.next("elapsed")?,
        archive: unsigned(row.next("size")?)
            .zip(row.next("run_zip_snapshot")?)
            .map(|(size, bytes)| ArchiveEnd { size, bytes }),
        version: row.next("xmin")?,
    })
}

/// Asks for the stop of a task; returns the state after the request.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::ApiKeyWrong`], and those of [`Database::change`].
pub async fn request_stop(database: &Database, id: TaskId, caller: &Caller) -> Result<TaskState, Error> {
    const STATEMENT: &str = concat!(include_str!("caller.sql"), include_str!("request_stop.sql"));
    let parameters = vec![text(id.to_string()), optional_text(caller.key_hash())];
    let mut row = found(database.change(STATEMENT, parameters, true).await, caller)?;
    let _id: String = row.next("id")?;
    let state: String = row.next("state")?;
    decode_state(&state, row.next("stop_requested")?)
}

/// An artifact in the database, described but not moved.
#[derive(Debug)]
pub struct StoredArtifact {
    /// In bytes.
    pub size: u64,
    /// Hex SHA-256.
    pub sha256: String,
    /// The row's version: another one means other bytes.
    pub version: String,
    /// Unix time of the worker's last write, once the task has ended.
    pub modified: Option<u64>,
}

/// The archive of a run in the database.
#[derive(Debug)]
pub struct StoredArchive {
    /// In bytes.
    pub size: u64,
    /// As in [`StoredArtifact`].
    pub version: String,
    /// As in [`StoredArtifact`].
    pub modified: Option<u64>,
}

/// State of a task together with the description of an artifact, `None` when the database does not have it.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::ApiKeyWrong`], and those of [`Database::query`].
pub async fn find_artifact(
    database: &Database,
    id: TaskId,
    caller: &Caller,
    artifact: Artifact,
) -> Result<(Progress, Option<StoredArtifact>), Error> {
    const STATEMENT: &str = concat!(include_str!("caller.sql"), include_str!("find_artifact.sql"));
    let parameters = vec![
        text(id.to_string()),
        optional_text(caller.key_hash()),
        text(column_choice(artifact)),
    ];
    let mut row = found(database.query(STATEMENT, parameters).await, caller)?;
    let progress = Progress::decode(&mut row)?;
    let size: Option<i64> = row.next("size")?;
    let sha256: Option<String> = row.next("sha256")?;
    let version = row.next("xmin")?;
    let modified = unsigned(row.next("last_seen_timestamp")?);
    let stored = unsigned(size).zip(sha256).map(|(size, sha256)| StoredArtifact {
        size,
        sha256,
        version,
        modified,
    });
    Ok((progress, stored))
}

/// State of a task together with its archive, `None` when the database does not have it.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::query`].
pub async fn find_archive(
    database: &Database,
    id: TaskId,
    caller: &Caller,
) -> Result<(Progress, Option<StoredArchive>), Error> {
    const STATEMENT: &str = concat!(include_str!("caller.sql"), include_str!("find_archive.sql"));
    let parameters = vec![text(id.to_string()), optional_text(caller.key_hash())];
    let mut row = found(database.query(STATEMENT, parameters).await, caller)?;
    let progress = Progress::decode(&mut row)?;
    let size = unsigned(row.next("run_zip_snapshot")?);
    let version = row.next("xmin")?;
    let modified = unsigned(row.next("last_seen_timestamp")?);
    let stored = size.map(|size| StoredArchive {
        size,
        version,
        modified,
    });
    Ok((progress, stored))
}

/// Sizes and times as the database has them are signed.
fn unsigned(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
}

/// A piece of an artifact, at most `length` bytes from `offset` on. `version` is that of [`StoredArtifact`].
///
/// # Errors
/// [`Error::Internal`] when the row has changed meanwhile, and those of [`Database::query`].
pub async fn read_artifact(
    database: &Database,
    id: &str,
    artifact: Artifact,
    version: &str,
    offset: u64,
    length: u64,
) -> Result<Vec<u8>, Error> {
    let range = |number: u64| ParameterValue::Int32(i32::try_from(number).unwrap_or(i32::MAX));
    let statement = match artifact {
        Artifact::Report => include_str!("read_report.sql"),
        Artifact::Zip => include_str!("read_zip.sql"),
    };
    let parameters = vec![text(id), text(version), range(offset.saturating_add(1)), range(length)];
    let row = database.query_optional(statement, parameters).await?;
    let mut row = row.ok_or_else(|| Error::Internal("the artifact changed while it was read".to_owned()))?;
    row.next("bytes")
}

/// The one row of a statement that begins with `caller.sql`: is the caller known, then the task, if it is there.
fn found(rows: Result<Vec<Row>, Error>, caller: &Caller) -> Result<Row, Error> {
    let row = rows.inspect_err(|_| caller.unanswered())?.into_iter().next();
    let mut row = row.ok_or_else(|| Error::Internal("no row about the caller".to_owned()))?;
    caller.settle(row.next("known")?)?;
    if row.at_null() {
        Err(Error::TaskNotFound)
    } else {
        Ok(row)
    }
}

fn decode_state(state: &str, stop_requested: bool) -> Result<TaskState, Error> {
    let known = TaskState::from_database(state, stop_requested);
    known.ok_or_else(|| Error::Internal(format!("unknown task state {state}")))
}

/// How `find_artifact.sql` is told which column to look at.
fn column_choice(artifact: Artifact) -> &'static str {
    match artifact {
        Artifact::Report => "report",
        Artifact::Zip => "zip",
    }
}
