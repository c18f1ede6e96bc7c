//! `plan_create`: has a plan made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Annotations, Context, Definition, Family, id_text, model_profiles};
use crate::{
    actions::create,
    error::{Error, Problem},
    json,
    plan::{PIPELINE_VERSION, Profile, TaskId, is_start_date},
};

pub(super) struct PlanCreate;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// What the plan is for: a brief of 300 to 800 words of prose that the user has approved. See `example_prompts`.
    #[schemars(length(min = 1))]
    prompt: String,
    /// Which models make the plan: baseline (cheap and fast), premium, frontier (most capable), custom (the operator's own).
    /// See `model_profiles`.
    #[serde(default)]
    model_profile: model_profiles::Choice,
    /// When the project starts, ISO 8601 with an offset, such as 2027-06-15T09:00:00+02:00. Without one, it starts now.
    #[serde(default)]
    #[schemars(with = "String", length(max = 64))]
    start_date: Option<String>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The plan's id: a handle for the other `plan_*` tools. Keep it.
    #[serde(serialize_with = "id_text")]
    #[schemars(with = "String")]
    plan_id: TaskId,
    /// RFC 3339, UTC.
    created_at: String,
    /// Set when an earlier call had already created this plan: nothing new was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    deduplicated: Option<bool>,
}

impl Definition for PlanCreate {
    const NAME: &'static str = "plan_create";
    const TITLE: &'static str = "Create a plan";
    const DESCRIPTION: &'static str = "Starts the making of a project plan and returns at once with a plan_id. Call it \
        only with a prompt that the user has approved (see example_prompts), and once for each plan: every call starts \
        paid work (about 10-20 minutes of LLM time). The same prompt with the same model_profile within some minutes \
        returns the plan that is being made, with deduplicated: true, so a retry is safe. Next: poll plan_status every few \
        minutes. A lost plan_id is found with plan_list. Error codes: INVALID_USER_API_KEY, USER_API_KEY_REQUIRED, \
        INSUFFICIENT_CREDITS.";
    const ANNOTATIONS: Annotations = Annotations {
        read_only_hint: false,
        destructive_hint: false,
        idempotent_hint: true,
        open_world_hint: true,
    };
    const EXAMPLE: &'static str =
        r#"{"prompt":"Open a bakery in Lyon with 20 seats, EUR 150,000 and a start in May."}"#;
    const FAMILY: Family = Family::Plan;
    const COSTS: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        let profile = Profile::from(arguments.model_profile);
        let mut config = Map::new();
        config.insert("model_profile".to_owned(), profile.name().into());
        if let Some(date) = arguments.start_date {
            if !is_start_date(&date) {
                let text = "start_date must be an ISO 8601 date of the years 1900 to 2999, such as \
                    2027-06-15T09:00:00+02:00, 2027-06-15T09:00:00Z or 2027-06-15.";
                return Err(Error::InvalidArguments(vec![Problem::new("start_date", text)]));
            }
            config.insert("start_date".to_owned(), date.into());
        }
        let mut parameters = config.clone();
        parameters.insert("trigger_source".to_owned(), "mcp plan_create".into());
        parameters.insert("pipeline_version".to_owned(), Value::from(PIPELINE_VERSION));
        let order = create::Order {
            prompt: &arguments.prompt,
            variant: ("model_profile", profile.name()),
            parameters: json::text(&parameters),
            config: json::text(&config),
            user_api_key: None,
            client_request_id: None,
            window: create::Window::Dedup,
        };
        let created = create::create(order, context).await?;
        Ok(Output {
            plan_id: created.id,
            created_at: created.created_at,
            deduplicated: created.repeated.then_some(true),
        })
    }
}
