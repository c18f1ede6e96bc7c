//! `plan_resume`: goes on with a plan that has not come to its end.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    Annotations, Context, Definition, Family, id_text, model_profiles, plan_retry::Arguments, plan_status::State,
};
use crate::{
    db::queue,
    error::Error,
    plan::{Again, Profile, TaskId},
};

pub(super) struct PlanResume;

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The same id.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    plan_id: TaskId,
    /// pending: the plan waits for a worker.
    #[schemars(with = "State")]
    state: &'static str,
    /// Which models make the rest of the plan.
    #[schemars(with = "model_profiles::Choice")]
    model_profile: &'static str,
    /// How often the plan was resumed.
    resume_count: u64,
    /// RFC 3339, UTC.
    resumed_at: String,
}

impl Definition for PlanResume {
    const NAME: &'static str = "plan_resume";
    const TITLE: &'static str = "Go on with a plan";
    const DESCRIPTION: &'static str = "Goes on with a plan that failed or was stopped, from its first step without files. \
        Starts paid work. To begin anew, or when this is refused, call plan_retry. Error codes: PLAN_NOT_FOUND; \
        PLAN_NOT_RESUMABLE when the plan did not fail and was not stopped, or its worker has not ended yet; \
        PIPELINE_VERSION_MISMATCH when another version of PlanExe began it.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: false,
        open_world_hint: true,
    };
    const EXAMPLE: &'static str = r#"{"plan_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4"}"#;
    const FAMILY: Family = Family::Plan;
    const COSTS: bool = true;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let profile = Profile::from(arguments.model_profile);
        let (id, database) = context.find(&arguments.plan_id).await?;
        let requeued = queue::requeue(&database, id, &context.caller, Again::Resume, profile).await?;
        Ok(Output {
            plan_id: id,
            state: "pending",
            model_profile: profile.name(),
            resume_count: requeued.resume_count.unwrap_or(1),
            resumed_at: requeued.at,
        })
    }
}
