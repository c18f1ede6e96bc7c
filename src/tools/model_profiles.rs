//! `model_profiles`: which models can make a plan.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Annotations, Context, Definition, Family, example_plans::Arguments};
use crate::{
    catalogue::{self, Model},
    error::Error,
    plan::Profile,
};

pub(super) struct ModelProfiles;

/// A model profile as callers name it.
#[derive(Default, Clone, Copy, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Choice {
    #[default]
    Baseline,
    Premium,
    Frontier,
    Custom,
}

impl From<Choice> for Profile {
    fn from(choice: Choice) -> Self {
        match choice {
            Choice::Baseline => Self::Baseline,
            Choice::Premium => Self::Premium,
            Choice::Frontier => Self::Frontier,
            Choice::Custom => Self::Custom,
        }
    }
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Output {
    /// The profile of a plan that names none.
    #[schemars(with = "Choice")]
    default_profile: &'static str,
    /// The profiles that have models.
    profiles: Vec<Info>,
    /// What to do with them.
    message: &'static str,
}

#[derive(Serialize, JsonSchema)]
struct Info {
    /// The value for `model_profile`.
    #[schemars(with = "Choice")]
    profile: &'static str,
    /// For people.
    title: &'static str,
    /// When to choose it.
    summary: &'static str,
    /// How many models it has.
    model_count: usize,
    /// Its models, in the order in which they are tried.
    models: &'static [Model],
}

impl Definition for ModelProfiles {
    const NAME: &'static str = "model_profiles";
    const TITLE: &'static str = "Model profiles";
    const DESCRIPTION: &'static str = "Returns the values that model_profile takes, when to choose which, and the models \
        behind each. Call it before plan_create when the user cares about quality or price. Free, changes nothing, needs \
        no key. Error code where no model is known: MODEL_PROFILES_UNAVAILABLE.";
    const ANNOTATIONS: Annotations = Annotations::READ_ONLY;
    const EXAMPLE: &'static str = "{}";
    const FAMILY: Family = Family::Plan;
    const IS_CONSTANT: bool = true;
    const REACHES_TASKS: bool = false;
    type Arguments = Arguments;
    type Output = Output;

    async fn call(_: Arguments, _: &Context) -> Result<Output, Error> {
        let known = catalogue::models();
        let infos = Profile::ALL.into_iter().zip(known).filter_map(|(profile, models)| {
            let (title, summary) = match profile {
                Profile::Baseline => ("Baseline", "Cheap and fast. The default."),
                Profile::Premium => ("Premium", "Better texts than the baseline, at a higher price."),
                Profile::Frontier => ("Frontier", "The most capable models, slow and dear."),
                Profile::Custom => ("Custom", "The models that the operator of this PlanExe has chosen."),
            };
            (!models.is_empty()).then(|| Info {
                profile: profile.name(),
                title,
                summary,
                model_count: models.len(),
                models,
            })
        });
        let profiles: Vec<Info> = infos.collect();
        if profiles.is_empty() {
            return Err(Error::ModelProfilesUnavailable(
                "no file of /prompts/profiles has a model".to_owned(),
            ));
        }
        Ok(Output {
            default_profile: Profile::Baseline.name(),
            profiles,
            message: "Pass the value of profile as model_profile to plan_create.",
        })
    }
}
