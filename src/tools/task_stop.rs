//! `task_stop`: requests the end of a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family};
use crate::{db::queue, error::Error};

pub(super) struct TaskStop;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// The `task_id` that `task_create` returned.
    task_id: String,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The state after the request: stopping or stopped; completed or failed when the task had already ended.
    state: &'static str,
}

impl Definition for TaskStop {
    const NAME: &'static str = "task_stop";
    const TITLE: &'static str = "Stop a plan";
    const DESCRIPTION: &'static str = "Asks for the end of a plan that is pending or running. Call it only when the \
        user wants that: the work done so far is not finished later and credits are not returned. A worker stops at \
        its next step, so state may be stopping first; task_status tells when it is stopped. Calling it again, or for \
        a task that has ended, changes nothing.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: true,
        idempotent_hint: true,
        open_world_hint: false,
    };
    const EXAMPLE: &'static str = r#"{"task_id":"5e2b2a7c-8a52-4ab1-9c0e-1d6d43f6a7b4"}"#;
    const FAMILY: Family = Family::Task;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let (id, database) = context.find(&arguments.task_id).await?;
        let (state, _) = queue::request_stop(&database, id, context.caller.owner()).await?;
        Ok(Output {
            state: Self::FAMILY.state(state),
        })
    }
}
