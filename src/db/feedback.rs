//! What callers think of PlanExe: the table `feedback_item`.

use std::fmt;

use super::{Database, optional_text, text};
use crate::{error::Error, host::Parameter, plan::TaskId};

/// What a caller says.
#[derive(Debug)]
pub struct Feedback<'a> {
    /// Its id.
    pub id: TaskId,
    /// What it is about, such as `mcp` or `plan`.
    pub category: &'a str,
    /// In the caller's words.
    pub message: &'a str,
    /// From 1, bad, to 5, good.
    pub rating: Option<i32>,
    /// The plan that it is about.
    pub plan: Option<TaskId>,
}

/// For the log, where the database does not keep it.
impl fmt::Display for Feedback<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            id,
            category,
            message,
            rating,
            plan,
        } = self;
        write!(f, "feedback {id} of category {category:?}: {message:?}")?;
        if let Some(rating) = rating {
            write!(f, ", rating {rating}")?;
        }
        plan.map_or(Ok(()), |plan| write!(f, ", about the plan {plan}"))
    }
}

/// Keeps feedback of an owner (`None`: of the operator). Returns the time, RFC 3339 in UTC with microseconds, and whether the
/// database has a table for it.
///
/// # Errors
/// [`Error::TaskNotFound`] when the plan is not among those of the owner, and those of [`Database::query`].
pub async fn save(database: &Database, feedback: &Feedback<'_>, owner: Option<&str>) -> Result<(String, bool), Error> {
    let parameters = vec![
        text(feedback.id.to_string()),
        text(feedback.category),
        text(feedback.message),
        feedback.rating.map_or(Parameter::Null, Parameter::Int32),
        optional_text(feedback.plan.map(|id| id.to_string())),
        optional_text(owner),
    ];
    let row = database
        .change(include_str!("save_feedback.sql"), parameters, false)
        .await?;
    let mut row = super::found(row)?;
    Ok((row.take("received_at")?, row.take("saved")?))
}
