//! `prompt_examples`: prompts of the quality that a good plan needs.

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family};
use crate::{catalogue, error::Error};

pub(super) struct PromptExamples;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Arguments {}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// Example prompts, each complete and of 300 to 800 words.
    samples: &'static [String],
    /// What to do with them.
    message: Cow<'static, str>,
}

impl Output {
    /// The examples, with what to do with them in the words of a family.
    pub(super) fn of(family: Family) -> Result<Self, Error> {
        let message = "These examples show form and level of detail; do not reuse their content. Draft a prompt of \
            this quality for the user's own goal, show it to the user, and call task_create only after approval.";
        Ok(Self {
            samples: catalogue::examples()?,
            message: family.words(message.into()),
        })
    }
}

impl Definition for PromptExamples {
    const NAME: &'static str = "prompt_examples";
    const TITLE: &'static str = "Example prompts";
    const DESCRIPTION: &'static str = "Returns about five example prompts that show the detail a good plan needs. \
        Call it first, before writing a prompt for task_create. Free, changes nothing. Next: draft a prompt of the \
        same length and concreteness (300-800 words: goal, place, budget, dates, people, constraints, measures of \
        success) with the user, and get the user's approval before calling task_create.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = "{}";
    const FAMILY: Family = Family::Task;
    const IS_CONSTANT: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(_: Arguments, _: &Context) -> Result<Output, Error> {
        Output::of(Self::FAMILY)
    }
}
