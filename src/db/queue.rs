//! The queue of PlanExe's workers: taking a plan out of it, and putting one back that has ended.

use super::{Database, Statement, decode_state, found, optional_text, schema::COLUMNS, text, unsigned};
use crate::{
    auth::caller::Caller,
    error::Error,
    host::Parameter,
    plan::{Again, PIPELINE_VERSION, Profile, TaskId, TaskState},
};

/// Requests the stop of a plan among those of an owner; `None`: among all. Returns the state after the request, and whether
/// the plan had not ended before.
///
/// # Errors
/// [`Error::TaskNotFound`], and those of [`Database::change`].
pub async fn request_stop(database: &Database, id: TaskId, owner: Option<&str>) -> Result<(TaskState, bool), Error> {
    let parameters = vec![text(id.to_string()), optional_text(owner)];
    let row = database
        .change(include_str!("request_stop.sql"), parameters, true)
        .await;
    let mut row = found(row?)?;
    let state: String = row.take("state")?;
    let state = decode_state(&state, row.take("stop_requested")?)?;
    Ok((state, row.take("was_alive")?))
}

/// A plan that is in the queue again.
#[derive(Debug)]
pub struct Requeued {
    /// RFC 3339, UTC, whole seconds.
    pub at: String,
    /// How often the plan was resumed.
    pub resume_count: Option<u64>,
}

/// Puts a plan among those that the caller sees and that failed or was stopped into the queue again.
///
/// # Errors
/// [`Error::TaskNotFound`], [`Error::NotRequeued`], [`Error::StillAtWork`], [`Error::PipelineVersionMismatch`], and those of
/// [`Database::change`].
pub async fn requeue(
    database: &Database,
    id: TaskId,
    caller: &Caller,
    again: Again,
    profile: Profile,
) -> Result<Requeued, Error> {
    let mut conditions = vec![match again {
        Again::Retry => "retry",
        Again::Resume => "resume",
    }];
    let mut row = database.query(include_str!("find_columns.sql"), Vec::new()).await?;
    let columns: String = row.take("columns")?;
    let known = COLUMNS
        .into_iter()
        .filter(|known| columns.split(',').any(|column| column == *known));
    conditions.extend(known);
    let parameters = vec![
        text(id.to_string()),
        optional_text(caller.owner()),
        text(profile.name()),
        Parameter::Int32(PIPELINE_VERSION),
        optional_text(caller.user_key_hash()),
    ];
    let statement = Statement(include_str!("requeue.sql"), &conditions);
    let mut row = found(database.change(statement, parameters, false).await?)?;
    if row.take("requeued")? {
        return Ok(Requeued {
            at: row.take("requeued_at")?,
            resume_count: unsigned(row.take("resume_count")?),
        });
    }
    let state: String = row.take("state")?;
    let state = decode_state(&state, row.take("stop_requested")?)?;
    let can_resume = conditions.contains(&"steps_total");
    Err(match again {
        _ if !matches!(state, TaskState::Failed | TaskState::Stopped) => Error::NotRequeued { again, state },
        _ if row.take("at_work")? => Error::StillAtWork(again),
        Again::Resume if can_resume => Error::PipelineVersionMismatch,
        _ => Error::NotRequeued { again, state },
    })
}
