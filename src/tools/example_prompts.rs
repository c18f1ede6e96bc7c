//! `example_prompts`: prompts of the quality that a good plan needs.

use super::{
    Annotations, Context, Definition, Family,
    example_plans::Arguments,
    prompt_examples::{Output, PromptExamples},
};
use crate::error::Error;

pub(super) struct ExamplePrompts;

impl Definition for ExamplePrompts {
    const NAME: &'static str = "example_prompts";
    const TITLE: &'static str = PromptExamples::TITLE;
    const DESCRIPTION: &'static str = "Returns about five example prompts that show the detail a good plan needs. \
        Call it first, before writing a prompt for plan_create. Free, changes nothing. Next: draft a prompt of the \
        same length and concreteness (300-800 words of prose: goal, place, budget, dates, people, constraints, \
        measures of success) with the user, and get the user's approval before calling plan_create.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = "{}";
    const FAMILY: Family = Family::Plan;
    const IS_CONSTANT: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(_: Arguments, _: &Context) -> Result<Output, Error> {
        Output::of(Self::FAMILY)
    }
}
