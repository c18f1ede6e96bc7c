//! Files beside the component that an operator can replace without rebuilding: example prompts, finished plans to look at,
//! and PlanExe's lists of models.

use std::sync::OnceLock;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::{error::Error, json, plan::Profile};

/// Where `spin.toml` mounts the prompts.
const PATH: &str = "/prompts/prompts.jsonl";
/// Where it mounts the list of finished plans.
const PLANS_PATH: &str = "/prompts/plans.json";
/// Where it mounts the lists of models, a file for each profile.
const PROFILES_PATH: &str = "/prompts/profiles";

/// A line of the catalogue. PlanExe's own has the same form; other members are ignored.
#[derive(Deserialize)]
struct Entry {
    prompt: String,
    #[serde(default)]
    mcp_example: bool,
}

/// The prompts that the catalogue marks as examples, read once for each instance.
///
/// # Errors
/// [`Error::Internal`] when the file cannot be read, a line is broken, or no line is marked.
pub fn examples() -> Result<&'static [String], Error> {
    static EXAMPLES: OnceLock<Result<Vec<String>, String>> = OnceLock::new();
    let loaded = EXAMPLES.get_or_init(|| match std::fs::read_to_string(PATH) {
        Ok(text) => parse(&text),
        Err(error) => Err(format!("the prompt catalogue {PATH} cannot be read: {error}")),
    });
    loaded.as_deref().map_err(|reason| Error::Internal(reason.clone()))
}

/// The marked prompts of a catalogue's text.
fn parse(text: &str) -> Result<Vec<String>, String> {
    let mut examples = Vec::new();
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let entry: Entry = json::object(line)
            .map_err(|error| format!("line {} of the prompt catalogue is broken: {error}", number + 1))?;
        if entry.mcp_example {
            examples.push(entry.prompt);
        }
    }
    if examples.is_empty() {
        return Err("no line of the prompt catalogue has \"mcp_example\": true".to_owned());
    }
    Ok(examples)
}

/// A finished plan to look at.
#[derive(Debug, Deserialize, Serialize, JsonSchema)]
pub struct ExamplePlan {
    /// What the plan is for.
    title: String,
    /// Address of its report.
    report_url: String,
    /// Address of all its files.
    zip_url: String,
}

/// The finished plans that an operator shows, read once for each instance.
///
/// # Errors
/// [`Error::Internal`] when the file cannot be read.
pub fn example_plans() -> Result<&'static [ExamplePlan], Error> {
    static PLANS: OnceLock<Result<Vec<ExamplePlan>, String>> = OnceLock::new();
    let loaded = PLANS.get_or_init(|| {
        let text =
            std::fs::read_to_string(PLANS_PATH).map_err(|error| format!("{PLANS_PATH} cannot be read: {error}"))?;
        serde_json::from_str(&text).map_err(|error| format!("{PLANS_PATH} is broken: {error}"))
    });
    loaded.as_deref().map_err(|reason| Error::Internal(reason.clone()))
}

/// A model of a profile.
#[derive(Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Model {
    /// Its name in the file of the profile.
    key: String,
    /// Who serves it, such as `OpenRouter`; null when unknown.
    provider_class: Option<String>,
    /// Its name there; null when unknown.
    model: Option<String>,
    /// Lower numbers are tried first; null comes last.
    priority: Option<i64>,
}

/// The models of each profile, in the order of [`Profile::ALL`], read once for each instance. A file that is missing or
/// broken is a profile without models.
pub fn models() -> &'static [Vec<Model>; 4] {
    static MODELS: OnceLock<[Vec<Model>; 4]> = OnceLock::new();
    MODELS.get_or_init(|| {
        Profile::ALL.map(|profile| {
            let text = std::fs::read_to_string(format!("{PROFILES_PATH}/{}.json", profile.name()));
            text.map(|text| parse_models(&text)).unwrap_or_default()
        })
    })
}

/// The models of a profile's text: an object of PlanExe's `llm_config`, by names.
fn parse_models(text: &str) -> Vec<Model> {
    let entries: Map<String, Value> = json::object(text).unwrap_or_default();
    let model = |(key, entry): (String, Value)| {
        let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
        let priority = ["priority", "prio"].iter().find_map(|name| entry.get(name)?.as_i64());
        Model {
            key,
            provider_class: text(entry.get("class")),
            model: text(entry.pointer("/arguments/model")),
            priority,
        }
    };
    let mut models: Vec<Model> = entries.into_iter().map(model).collect();
    models.sort_by(|a, b| (a.priority.unwrap_or(i64::MAX), &a.key).cmp(&(b.priority.unwrap_or(i64::MAX), &b.key)));
    models
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_catalogue_holds_five_prompts_worth_imitating() {
        let examples = parse(include_str!("../assets/prompts/prompts.jsonl")).expect("valid");
        assert_eq!(examples.len(), 5);
        for prompt in examples {
            let words = prompt.split_whitespace().count();
            assert!((300..=800).contains(&words), "{words} words: {prompt:.80}");
        }
    }

    #[test]
    fn models_come_by_their_priority() {
        let text = r#"{
            "b": {"class": "Ollama", "arguments": {"model": "llama"}},
            "a": {"class": 7},
            "c": {"class": "OpenRouter", "arguments": {"model": "m"}, "priority": 2},
            "d": {"prio": 1}
        }"#;
        let keys: Vec<String> = parse_models(text).into_iter().map(|model| model.key).collect();
        assert_eq!(keys, ["d", "c", "a", "b"]);
        assert_eq!(parse_models("[]"), []);
        for profile in ["baseline", "premium", "frontier"] {
            let text = std::fs::read_to_string(format!("assets/prompts/profiles/{profile}.json")).expect("a file");
            assert!(!parse_models(&text).is_empty(), "{profile}");
        }
    }

    #[test]
    fn only_marked_lines_are_examples() {
        let text =
            "{\"id\":\"a\",\"prompt\":\"one\",\"mcp_example\":true,\"tags\":[]}\n\n{\"id\":\"b\",\"prompt\":\"two\"}\n";
        assert_eq!(parse(text), Ok(vec!["one".to_owned()]));
    }

    #[test]
    fn a_catalogue_that_cannot_serve_says_why() {
        assert_eq!(
            parse("").unwrap_err(),
            "no line of the prompt catalogue has \"mcp_example\": true"
        );
        assert!(
            parse("{\"prompt\":\"one\"}\nnot json")
                .unwrap_err()
                .starts_with("line 2 of the prompt catalogue")
        );
    }
}
