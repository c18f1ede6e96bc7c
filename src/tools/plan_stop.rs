//! `plan_stop`: ends the making of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, plan_status::State};
use crate::{db::queue, error::Error};

pub(super) struct PlanStop;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The `plan_id` that `plan_create` returned.
    plan_id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The state after the request, as in `plan_status`.
    #[schemars(with = "State")]
    state: &'static str,
    /// Whether the plan was pending or processing; false for one that had ended already.
    stop_requested: bool,
}

impl Definition for PlanStop {
    const NAME: &'static str = "plan_stop";
    const TITLE: &'static str = "Stop a plan";
    const DESCRIPTION: &'static str = "Ends the making of a plan that is pending or processing. Call it only when the user \
        wants that. A worker that has the plan ends at its next step; plan_resume goes on with it later, plan_retry begins \
        it anew. For a plan that has ended it changes nothing, and stop_requested is false. Error code: PLAN_NOT_FOUND.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: true,
        idempotent_hint: true,
        open_world_hint: false,
    };
    const EXAMPLE: &'static str = r#"{"plan_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4"}"#;
    const FAMILY: Family = Family::Plan;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let (id, database) = context.find(&arguments.plan_id).await?;
        let (state, was_alive) = queue::request_stop(&database, id, context.caller.owner()).await?;
        Ok(Output {
            state: Self::FAMILY.state(state),
            stop_requested: was_alive,
        })
    }
}
