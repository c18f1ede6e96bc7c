//! Creating a plan: who pays, and when a call is the repeat of an earlier one.

use super::Context;
use crate::{
    auth::{self, caller},
    config,
    db::create::{self, Created, NewPlan},
    error::Error,
};

/// What a caller orders.
#[derive(Debug)]
pub struct Order<'a> {
    /// What the plan is for.
    pub prompt: &'a str,
    /// The name of the parameter that tells plans of one prompt apart, and its value.
    pub variant: (&'static str, &'static str),
    /// The plan's parameters, JSON.
    pub parameters: String,
    /// The parameters as the caller names them, JSON.
    pub config: String,
    /// The key of the user who pays, where the call has one.
    pub user_api_key: Option<&'a str>,
    /// The caller's own id of the request.
    pub client_request_id: Option<&'a str>,
    /// Which setting says for how long the same prompt is the same call.
    pub window: Window,
}

/// The settings of the repeat window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Window {
    /// That of `task_create`.
    Repeat,
    /// That of `plan_create`.
    Dedup,
}

/// Creates the plan, or finds the one that an earlier call has created.
///
/// # Errors
/// Those of the key and of [`create::create`].
pub async fn create(order: Order<'_>, context: &Context) -> Result<Created, Error> {
    let salt = config::api_key_secret().await?;
    let argument = order.user_api_key.map(caller::normalise);
    let argument = argument.filter(|key| !key.is_empty());
    let argument = argument.map(|key| auth::user_key_hash(&key, &salt));
    if argument.is_none() {
        context.caller.may_reach_tasks()?;
    }
    // The key in the call pays for the call, also when another user sends it.
    let payer = argument.as_deref().or(context.caller.user_key_hash());
    if payer.is_none() && config::require_user_key().await? {
        return Err(Error::UserKeyRequired);
    }
    let (key, value) = order.variant;
    // A server with a wrong window or price makes no plans at all, so that the mistake shows.
    let window = match order.window {
        Window::Repeat => config::repeat_window().await?,
        Window::Dedup => config::dedup_window().await?,
    };
    let new = NewPlan {
        prompt: order.prompt,
        key,
        value,
        parameters: order.parameters,
        config: order.config,
        user_key_hash: payer,
        price: config::credits_per_plan().await?,
        client_request_id: order.client_request_id,
        repeat_window: if order.client_request_id.is_none() { window } else { 0.0 },
        salt: &salt,
    };
    create::create(&context.database().await?, &new).await
}
