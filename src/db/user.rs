//! The tables of users and their keys.

use super::{Database, text};
use crate::error::Error;

/// What the database knows of a key.
#[derive(Debug)]
pub struct Found {
    /// The user whom the key belongs to; `None` when no key has this hash, or the key is revoked.
    pub user_id: Option<String>,
    /// Whether the database has the schema of today's PlanExe.
    pub is_today: bool,
}

/// Finds the user whom a key belongs to, by the hash of the key, and records that the key was used.
///
/// # Errors
/// Those of [`Database::query`].
pub async fn find_by_key(database: &Database, key_hash: &str) -> Result<Found, Error> {
    let parameters = vec![text(key_hash)];
    let mut row = database.query(include_str!("verify_key.sql"), parameters).await?;
    Ok(Found {
        user_id: row.take("user_id")?,
        is_today: row.take("is_today")?,
    })
}
