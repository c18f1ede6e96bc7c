//! The newest plans.

use serde::Deserialize;

use super::{Database, decode_state, optional_text};
use crate::{
    error::Error,
    host::Parameter,
    plan::{Percentage, TaskId, TaskState},
};

/// A plan in the list.
#[derive(Debug)]
pub struct Listed {
    /// Its id.
    pub id: TaskId,
    /// Its state.
    pub state: TaskState,
    /// How far it is.
    pub percentage: Percentage,
    /// RFC 3339, UTC, whole seconds.
    pub created_at: Option<String>,
    /// The first 100 characters of its prompt.
    pub excerpt: String,
}

/// A plan as `list_tasks.sql` returns it.
#[derive(Deserialize)]
struct Item {
    id: String,
    state: String,
    stop_requested: bool,
    percentage: f64,
    created_at: Option<String>,
    excerpt: String,
}

/// The newest plans among those of an owner; `None`: among all.
///
/// # Errors
/// Those of [`Database::query`].
pub async fn newest(database: &Database, owner: Option<&str>, limit: i32) -> Result<Vec<Listed>, Error> {
    let parameters = vec![optional_text(owner), Parameter::Int32(limit)];
    let mut row = database.query(include_str!("list_tasks.sql"), parameters).await?;
    let plans: String = row.take("plans")?;
    let items: Vec<Item> = serde_json::from_str(&plans).map_err(|error| Error::Internal(error.to_string()))?;
    let listed = |item: Item| {
        let state = decode_state(&item.state, item.stop_requested)?;
        Ok(Listed {
            id: TaskId::parse(&item.id).ok_or_else(|| Error::Internal("an id is not a UUID".to_owned()))?,
            state,
            percentage: Percentage::of(state, item.percentage),
            created_at: item.created_at,
            excerpt: item.excerpt.trim().to_owned(),
        })
    };
    items.into_iter().map(listed).collect()
}
