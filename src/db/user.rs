//! The tables of users and their keys.

use super::{Database, text};
use crate::error::Error;

/// Finds the user whom a key belongs to, by the hash of the key, and records that the key was used. `None` when no key
/// has this hash, or the key is revoked.
///
/// # Errors
/// Those of [`Database::query`].
pub async fn find_by_key(database: &Database, key_hash: &str) -> Result<Option<String>, Error> {
    let parameters = vec![text(key_hash)];
    let mut row = database.query(include_str!("verify_key.sql"), parameters).await?;
    row.take("user_id")
}
