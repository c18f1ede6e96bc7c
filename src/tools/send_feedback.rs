//! `send_feedback`: tells PlanExe's developers what a caller thinks.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family};
use crate::{
    clock,
    db::feedback::{self, Feedback},
    error::Error,
    plan::TaskId,
};

pub(super) struct SendFeedback;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// What it is about: mcp (these tools), plan (a plan), code, docs or other.
    #[schemars(length(min = 1, max = 32))]
    category: String,
    /// The feedback: short, concrete, with what is needed to see the same.
    #[schemars(length(min = 1, max = 20000))]
    message: String,
    /// The plan that it is about.
    #[serde(default)]
    #[schemars(with = "String")]
    plan_id: Option<String>,
    /// From 1, bad, to 5, good.
    #[serde(default)]
    #[schemars(with = "i32", range(min = 1, max = 5))]
    rating: Option<i32>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Id of the feedback.
    feedback_id: String,
    /// RFC 3339, UTC.
    received_at: String,
    /// What happened.
    message: &'static str,
}

impl Definition for SendFeedback {
    const NAME: &'static str = "send_feedback";
    const TITLE: &'static str = "Send feedback";
    const DESCRIPTION: &'static str = "Tells PlanExe's developers about a problem or an impression: of these tools, of a \
        plan, of code or documents. Call it when the user wants that, at any time. Free; changes no plan. Error codes: \
        INVALID_FEEDBACK, PLAN_NOT_FOUND.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: true,
        open_world_hint: false,
    };
    const EXAMPLE: &'static str = r#"{"category":"plan","message":"The budget section is convincing.","rating":4}"#;
    const FAMILY: Family = Family::Plan;
    const INVALID: &'static str = "INVALID_FEEDBACK";
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        context.needs_user().await?;
        let plan = match arguments.plan_id.as_deref() {
            Some(id) => Some(TaskId::parse(id).ok_or(Error::TaskNotFound)?),
            None => None,
        };
        let feedback = Feedback {
            id: TaskId::random(),
            category: &arguments.category,
            message: &arguments.message,
            rating: arguments.rating,
            plan,
        };
        let saved = feedback::save(&context.database().await?, &feedback, context.caller.owner()).await;
        let received_at = match saved {
            Ok((at, true)) => at,
            // Feedback is never lost: without a table for it, it is kept in the log.
            Ok((at, false)) => {
                context.request.warn(&feedback.to_string());
                at
            }
            Err(error) if plan.is_none() => {
                context.request.log_error(&error);
                context.request.warn(&feedback.to_string());
                clock::rfc3339(clock::unix_time())
            }
            Err(error) => return Err(error),
        };
        Ok(Output {
            feedback_id: feedback.id.to_string(),
            received_at,
            message: "Feedback received. Thank you.",
        })
    }
}
