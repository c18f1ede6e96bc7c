//! `plan_list`: the newest plans.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, plan_status::State};
use crate::{db::list, error::Error};

/// Plans in the answer, unless the call says how many.
const DEFAULT_LIMIT: i32 = 10;

pub(super) struct PlanList;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {
    /// How many plans.
    #[serde(default = "default_limit")]
    #[schemars(range(min = 1, max = 50))]
    limit: i32,
}

fn default_limit() -> i32 {
    DEFAULT_LIMIT
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The plans, the newest first.
    plans: Vec<Item>,
    /// How many they are.
    message: String,
}

#[derive(Serialize, JsonSchema)]
struct Item {
    /// The plan's id.
    plan_id: String,
    /// As in `plan_status`.
    #[schemars(with = "State")]
    state: &'static str,
    /// 0 to 100.
    progress_percentage: f64,
    /// RFC 3339, UTC; null when unknown.
    created_at: Option<String>,
    /// The first 100 characters of the prompt.
    prompt_excerpt: String,
}

impl Definition for PlanList {
    const NAME: &'static str = "plan_list";
    const TITLE: &'static str = "List plans";
    const DESCRIPTION: &'static str = "Lists the newest plans of the caller: id, state, percentage, creation and the \
        beginning of the prompt of each. Call it to find a lost plan_id. Free, changes nothing. Callers with the server's \
        own key see the plans of all users.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = r#"{"limit":5}"#;
    const FAMILY: Family = Family::Plan;
    const INVALID: &'static str = "INVALID_ARGUMENTS";
    type Arguments = Arguments;
    type Output = Output;

    async fn call(arguments: Arguments, context: &Context) -> Result<Output, Error> {
        context.needs_user().await?;
        let newest = list::newest(&context.database().await?, context.caller.owner(), arguments.limit).await?;
        let plans = newest.into_iter().map(|plan| Item {
            plan_id: plan.id.to_string(),
            state: Self::FAMILY.state(plan.state),
            progress_percentage: plan.percentage.percent(),
            created_at: plan.created_at,
            prompt_excerpt: plan.excerpt,
        });
        let plans: Vec<Item> = plans.collect();
        Ok(Output {
            message: format!("Returned {} plan(s).", plans.len()),
            plans,
        })
    }
}
