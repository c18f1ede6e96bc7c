//! What the tools do, apart from the words of either family: `task_*` and `plan_*` render the same results.

pub mod create;
pub mod files;
pub mod status;

use std::rc::Rc;

use crate::{
    auth::{RequestOrigin, caller::Caller},
    config::{self, Access},
    db::Database,
    error::Error,
    plan::TaskId,
    request,
};

/// What a tool may know of the request that calls it.
#[derive(Debug)]
pub struct Context {
    /// The access settings.
    pub access: Rc<Access>,
    /// Who calls.
    pub caller: Caller,
    /// What is measured of the request.
    pub request: Rc<request::Context>,
    /// Where the caller reached the server.
    pub request_origin: RequestOrigin,
}

impl Context {
    /// The database, for this request.
    ///
    /// # Errors
    /// Those of settings that cannot be used.
    pub async fn database(&self) -> Result<Database, Error> {
        Database::configured(&self.request).await
    }

    /// Lets callers pass who may use tools that are for users, where the server is for users only.
    ///
    /// # Errors
    /// [`Error::UserKeyRequired`], and those of the setting.
    pub async fn needs_user(&self) -> Result<(), Error> {
        if config::require_user_key().await? && self.caller.user_key_hash().is_none() {
            return Err(Error::UserKeyRequired);
        }
        Ok(())
    }

    /// The id of an argument that names a plan, and the database. Only a UUID can be one.
    ///
    /// # Errors
    /// [`Error::TaskNotFound`], and those of [`Context::database`].
    pub async fn find(&self, id: &str) -> Result<(TaskId, Database), Error> {
        let id = TaskId::parse(id).ok_or(Error::TaskNotFound)?;
        Ok((id, self.database().await?))
    }
}
