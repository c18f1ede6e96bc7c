//! `task_create`: has a plan made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Number, json};

use super::{Annotations, Context, Definition, Family, id_text};
use crate::{
    actions::create,
    error::Error,
    json,
    plan::{Detail, TaskId},
};

pub(super) struct TaskCreate;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {
    /// What the plan is for: a brief of 300 to 800 words that the user has approved. See `prompt_examples`.
    #[schemars(length(min = 1))]
    prompt: String,
    /// How much work the plan is worth. ping: a dummy plan in seconds, to try out the connection; not a real plan.
    /// fast: a real plan without its details. all: a real plan with all details, 15 to 20 minutes.
    #[serde(default)]
    speed_vs_detail: Speed,
    /// The user's own PlanExe API key, which pays for the plan. Only where the server asks for one; it may instead be
    /// sent as the API key of the connection. If both are there, this one pays and owns the task.
    #[serde(default)]
    #[schemars(with = "String", length(max = 500))]
    user_api_key: Option<String>,
    /// An id of your choice for this plan. Calling again with the same id and arguments returns the first task and makes
    /// and charges nothing: use one to retry safely. With another prompt or `speed_vs_detail` the id is refused. Without
    /// one, the same prompt again within some minutes returns the first task too, unless it was stopped or failed; a new
    /// id makes a second plan of the same prompt on purpose.
    #[serde(default)]
    #[schemars(with = "String", length(min = 1, max = 200))]
    client_request_id: Option<String>,
}

#[derive(Default, Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Speed {
    #[default]
    Ping,
    Fast,
    All,
}

impl From<Speed> for Detail {
    fn from(speed: Speed) -> Self {
        match speed {
            Speed::Ping => Self::Ping,
            Speed::Fast => Self::Fast,
            Speed::All => Self::All,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The task's id: a handle for `task_status`, `task_stop` and `task_file_info`. Keep it.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    task_id: TaskId,
    /// RFC 3339, UTC.
    created_at: String,
    /// Set when an earlier call had already created this task: nothing was made or charged now.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    repeated: Option<bool>,
    /// Credits that the user has left. Only for tasks with a user key.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "f64")]
    credits_balance: Option<Number>,
}

impl Definition for TaskCreate {
    const NAME: &'static str = "task_create";
    const TITLE: &'static str = "Create a plan";
    const DESCRIPTION: &'static str = "Starts the making of a project plan and returns at once with a task_id. Call \
        it only with a prompt that the user has approved (see prompt_examples), and once for each plan: every call \
        starts paid work (about 15-20 minutes of LLM time; on servers with user accounts it costs credits). The \
        default speed_vs_detail, ping, makes a dummy plan for trying out the connection; choose fast or all for a \
        real one. Pass client_request_id so that a retry cannot buy a second plan. Next: poll task_status every few \
        minutes.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: false,
        open_world_hint: true,
    };
    const EXAMPLE: &'static str =
        r#"{"prompt":"Open a bakery in Lyon with 20 seats, EUR 150,000 and a start in May."}"#;
    const FAMILY: Family = Family::Task;
    const COSTS: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let detail = Detail::from(arguments.speed_vs_detail);
        let order = create::Order {
            prompt: &arguments.prompt,
            variant: ("speed_vs_detail", detail.stored()),
            parameters: json::text(&json!({ "speed_vs_detail": detail.stored() })),
            config: json::text(&json!({ "speed_vs_detail": detail.name() })),
            user_api_key: arguments.user_api_key.as_deref(),
            client_request_id: arguments.client_request_id.as_deref(),
            window: create::Window::Repeat,
        };
        let created = create::create(order, context).await?;
        Ok(Output {
            task_id: created.id,
            created_at: created.created_at,
            repeated: created.repeated.then_some(true),
            credits_balance: created.balance.and_then(|balance| balance.to_string().parse().ok()),
        })
    }
}
