//! `plan_retry`: makes a plan from its beginning again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, id_text, model_profiles, plan_status::State};
use crate::{
    db::queue,
    error::Error,
    plan::{Again, Profile, TaskId},
};

pub(super) struct PlanRetry;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// The `plan_id` of a plan that failed or was stopped.
    pub(super) plan_id: String,
    /// Which models make the plan, as in `plan_create`.
    #[serde(default)]
    pub(super) model_profile: model_profiles::Choice,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The same id.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    plan_id: TaskId,
    /// pending: the plan waits for a worker.
    #[schemars(with = "State")]
    state: &'static str,
    /// Which models make the plan.
    #[schemars(with = "model_profiles::Choice")]
    model_profile: &'static str,
    /// RFC 3339, UTC.
    retried_at: String,
}

impl Definition for PlanRetry {
    const NAME: &'static str = "plan_retry";
    const TITLE: &'static str = "Make a plan again";
    const DESCRIPTION: &'static str = "Makes a plan that failed or was stopped again, from its beginning, under the same \
        plan_id. What the earlier run has made is removed; plan_resume keeps it. Starts paid work. Error codes: \
        PLAN_NOT_FOUND; PLAN_NOT_FAILED when the plan did not fail and was not stopped, or its worker has not ended yet.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: false,
        open_world_hint: true,
    };
    const EXAMPLE: &'static str = r#"{"plan_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4","model_profile":"premium"}"#;
    const FAMILY: Family = Family::Plan;
    const COSTS: bool = true;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let profile = Profile::from(arguments.model_profile);
        let (id, database) = context.find(&arguments.plan_id).await?;
        let requeued = queue::requeue(&database, id, &context.caller, Again::Retry, profile).await?;
        Ok(Output {
            plan_id: id,
            state: "pending",
            model_profile: profile.name(),
            retried_at: requeued.at,
        })
    }
}
