//! The prompt catalogue: a JSONL file beside the component, which an operator can replace without rebuilding.

use std::sync::OnceLock;

use serde::Deserialize;

use crate::{error::Error, json};

/// Where `spin.toml` mounts the catalogue.
const PATH: &str = "/prompts/prompts.jsonl";

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
