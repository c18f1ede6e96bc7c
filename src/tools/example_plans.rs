//! `example_plans`: finished plans to look at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family};
use crate::{
    catalogue::{self, ExamplePlan},
    error::Error,
};

pub(super) struct ExamplePlans;

#[derive(Deserialize, JsonSchema)]
pub(super) struct Arguments {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Finished plans.
    plans: &'static [ExamplePlan],
    /// What to do with them.
    message: &'static str,
}

impl Definition for ExamplePlans {
    const NAME: &'static str = "example_plans";
    const TITLE: &'static str = "Example plans";
    const DESCRIPTION: &'static str = "Returns links to finished plans: report and zip of each. Call it when the user \
        wants to see what a plan looks like before one is made. Free, changes nothing, needs no key.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = "{}";
    const FAMILY: Family = Family::Plan;
    const IS_CONSTANT: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(_: Arguments, _: &Context) -> Result<Output, Error> {
        Ok(Output {
            plans: catalogue::example_plans()?,
            message: "Open report_url in a browser to see a plan as its readers see it. The zip has the files that the \
                report was made of.",
        })
    }
}
