//! The table `task_item`, and what is written together with a task: its event, its charge, its ledger entry.

use super::{Database, Row, optional_text, text};
use crate::{
    error::Error,
    host::Parameter,
    plan::{Artifact, Detail, Percentage, TaskId, TaskState},
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
    pub id: TaskId,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: String,
    /// Whether an earlier call had created it; nothing was charged then.
    pub repeated: bool,
    /// Credits that the user has left; `None` for the operator.
    pub balance: Option<i64>,
}

/// A task that an earlier call created, or that this one has.
struct Found {
    id: Option<TaskId>,
    created_at: Option<String>,
    same_prompt: bool,
    same_detail: bool,
}

impl Found {
    /// The four columns that both statements have.
    fn decode(row: &mut Row) -> Result<Self, Error> {
        let id: Option<String> = row.take("id")?;
        Ok(Self {
            id: id.and_then(|id| TaskId::parse(&id)),
            created_at: row.take("created_at")?,
            same_prompt: row.take("same_prompt")?,
            same_detail: row.take("same_detail")?,
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
        Parameter::Int32(new.price),
        optional_text(new.client_request_id),
        Parameter::Float64(new.repeat_window),
        text(new.salt),
        text(new.detail.name()),
    ];
    // Run twice, the statement finds what the first run made: by the request id, or by the claim of the prompt.
    let repeatable = new.client_request_id.is_some() || new.repeat_window > 0.0;
    let mut row = database
        .change(include_str!("create_task.sql"), parameters, repeatable)
        .await?;
    if !row.take::<bool>("payer_known")? {
        return Err(Error::InvalidUserKey);
    }
    let created: bool = row.take("created")?;
    let mut found = Found::decode(&mut row)?;
    let balance: Option<i64> = row.take("balance")?;
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
async fn find_created(database: &Database, new: &NewTask<'_>, id: Option<TaskId>) -> Result<Found, Error> {
    let parameters = vec![
        optional_text(id.map(|id| id.to_string())),
        text(new.prompt),
        text(new.detail.stored()),
        optional_text(new.user_key_hash),
        Parameter::Float64(new.repeat_window),
    ];
    let mut row = database.query(include_str!("find_created.sql"), parameters).await?;
    Found::decode(&mut row)
}

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
    /// The columns that every statement about the files of a task has.
    fn decode(row: &mut Row, id: TaskId) -> Result<Self, Error> {
        let state: String = row.take("state")?;
        let state = decode_state(&state, row.take("stop_requested")?)?;
        let percentage: f64 = row.take("progress_percentage")?;
        let percentage = if state == TaskState::Completed {
            Percentage::COMPLETE
        } else {
            Percentage::new(percentage)
        };
        Ok(Self {
            id,
            state,
            percentage,
            message: row.take("progress_message")?,
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
    /// Seconds from the creation until now; of a task that was stopped while pending, until that. `None` for a task that
    /// a worker has ended: its [`Event`] has the time.
    pub elapsed: Option<f64>,
    /// Seconds since the last sign of any worker. Only of a pending task.
    pub any_worker_seen: Option<f64>,
    /// Seconds since the last sign of a worker that names this task. Only of a task in work.
    pub own_worker_seen: Option<f64>,
    /// The archive; `None` when the database does not have it.
    pub archive: Option<ArchiveEnd>,
    /// Whether the database has the report.
    pub has_report: bool,
}

/// An archive in the database, of which the end has been read.
#[derive(Debug)]
pub struct ArchiveEnd {
    /// The archive, without its hash.
    pub stored: Stored,
    /// Its last bytes.
    pub bytes: Vec<u8>,
}

/// Finds a task among those of an owner; `None`: among all. Of its archive, the last `end_length` bytes are read.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::query`].
pub async fn find_status(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    end_length: u32,
) -> Result<Status, Error> {
    let parameters = vec![text(id.to_string()), optional_text(owner), length(end_length.into())];
    let mut row = found(database.query(include_str!("find_status.sql"), parameters).await?)?;
    let size = unsigned(row.take("archive_size")?);
    let bytes: Option<Vec<u8>> = row.take("archive_end")?;
    let version: String = row.take("version")?;
    let archive = size.zip(bytes).map(|(size, bytes)| ArchiveEnd {
        stored: Stored {
            size,
            sha256: None,
            version,
        },
        bytes,
    });
    Ok(Status {
        progress: Progress::decode(&mut row, id)?,
        created_at: row.take("created_at")?,
        elapsed: row.take("elapsed")?,
        any_worker_seen: row.take("any_worker_seen")?,
        own_worker_seen: row.take("own_worker_seen")?,
        archive,
        has_report: row.take("has_report")?,
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

/// Requests the stop of a task among those of an owner; `None`: among all. Returns the state after the request.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::change`].
pub async fn request_stop(database: &Database, id: TaskId, owner: Option<&str>) -> Result<TaskState, Error> {
    let parameters = vec![text(id.to_string()), optional_text(owner)];
    let row = database
        .change(include_str!("request_stop.sql"), parameters, true)
        .await;
    let mut row = found(row?)?;
    let state: String = row.take("state")?;
    decode_state(&state, row.take("stop_requested")?)
}

/// An artifact in the database, described but not moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// In bytes.
    pub size: u64,
    /// Hex SHA-256; `None` where it was not asked for.
    pub sha256: Option<String>,
    /// The row's version. Any update of the row changes it, also one that leaves the artifact as it is.
    pub version: String,
}

/// A task and what the database has of its artifacts.
#[derive(Debug)]
pub struct Artifacts {
    /// State and progress.
    pub progress: Progress,
    /// The artifact that was asked for, with its hash; `None` when the database does not have it.
    pub wanted: Option<Stored>,
    /// The archive, without its hash; `None` when the database does not have it.
    pub archive: Option<Stored>,
    /// The last bytes of the archive, when a file is looked for in it: any file but the two artifacts, or a report that is
    /// not in its column.
    pub archive_end: Option<Vec<u8>>,
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
    let size = unsigned(row.take("size")?);
    let sha256: Option<String> = row.take("sha256")?;
    let archive_size = unsigned(row.take("archive_size")?);
    let version: String = row.take("version")?;
    let stored = |size, sha256| Stored {
        size,
        sha256,
        version: version.clone(),
    };
    Ok(Artifacts {
        progress: Progress::decode(&mut row, id)?,
        wanted: size.zip(sha256).map(|(size, sha256)| stored(size, Some(sha256))),
        archive: archive_size.map(|size| stored(size, None)),
        archive_end: row.take("archive_end")?,
    })
}

/// Sizes and times as the database has them are signed.
fn unsigned(number: Option<i64>) -> Option<u64> {
    number.and_then(|number| u64::try_from(number).ok())
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

/// The row of a statement about one task, if the task is there.
fn found(mut row: Row) -> Result<Row, Error> {
    if row.take("found")? {
        Ok(row)
    } else {
        Err(Error::TaskNotFound)
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
