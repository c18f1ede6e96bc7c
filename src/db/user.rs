//! The table `user_api_key`, where a request asks for nothing else. What calls for more looks into it in the same
//! statement: `caller.sql` and `create_task.sql`.

use super::{Database, optional_text};
use crate::{auth::caller::Caller, error::Error};

/// Finds out whether the caller is who they say.
///
/// # Errors
/// [`Error::ApiKeyWrong`], and those of [`Database::query`].
pub async fn verify(database: &Database, caller: &Caller) -> Result<(), Error> {
    let statement = "SELECT EXISTS (SELECT FROM user_api_key WHERE key_hash = $1::text AND revoked_at IS NULL)";
    let mut row = database
        .query(statement, vec![optional_text(caller.key_hash())])
        .await?;
    caller.settle(row.next("known")?)
}
