//! Arguments of tools: what is accepted fits the schema as an agent reads it, what is refused is explained.
//!
//! Input: a byte that chooses the tool, then the JSON text.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use planexe_mcp::{error::Error, tools::ALL};
use serde_json::{Map, Value};

static TOOLS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let listed = ALL.iter().map(|tool| serde_json::from_str(tool.listed).expect("JSON"));
    listed.collect()
});

/// Whether arguments without nulls fit the schema; the blank and U+0000 are no prompt either.
fn fits(arguments: &Map<String, Value>, schema: &Value) -> bool {
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    required
        .iter()
        .all(|name| arguments.contains_key(name.as_str().expect("a name")))
        && arguments.iter().all(|(name, value)| {
            let property = &schema["properties"][name];
            if property.is_null() {
                return schema["additionalProperties"] != false;
            }
            if property["type"] == "integer" {
                let limit = |keyword: &str| property[keyword].as_i64().expect("a limit");
                let allowed = limit("minimum")..=limit("maximum");
                return value.as_i64().is_some_and(|number| allowed.contains(&number));
            }
            let Some(text) = value.as_str() else { return false };
            let allowed = property["enum"]
                .as_array()
                .is_none_or(|allowed| allowed.contains(value));
            let length = text.chars().count() as u64;
            allowed
                && !text.contains('\0')
                && (property["minLength"].is_null() || !text.trim().is_empty())
                && property["maxLength"].as_u64().is_none_or(|most| length <= most)
        })
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, text)) = data.split_first() else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let choice = usize::from(*choice) % ALL.len();
    let (tool, schema) = (&ALL[choice], &TOOLS[choice]["inputSchema"]);
    let object: Option<Map<String, Value>> = serde_json::from_str(text).ok();
    let plain = object.clone().map(|mut object| {
        object.retain(|_, value| !value.is_null());
        object
    });
    match (tool.about.read)(text, schema) {
        Ok(()) => {
            let plain = plain.expect("accepted arguments are an object");
            assert!(fits(&plain, schema), "{}: accepted {text}", tool.name);
            let again = Value::Object(plain).to_string();
            assert!((tool.about.read)(&again, schema).is_ok(), "nulls say nothing");
        }
        Err(Error::InvalidArguments(problems)) => {
            assert!(
                !plain.is_some_and(|plain| fits(&plain, schema)),
                "{}: refused {text}",
                tool.name
            );
            assert!(!problems.is_empty());
            for problem in problems {
                assert!(
                    !problem
                        .field
                        .chars()
                        .chain(problem.problem.chars())
                        .any(char::is_control)
                );
                assert!(
                    problem.problem.ends_with('.') && problem.problem.len() < 1_000,
                    "{}",
                    problem.problem
                );
            }
        }
        Err(other) => panic!("{other:?}"),
    }
});
