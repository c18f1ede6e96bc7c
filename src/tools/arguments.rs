//! Arguments against the input schema of their tool: all that is wrong, in words that let an agent correct the call.
//!
//! Input schemas are flat objects of strings and integers; the keywords that this file checks are all that they use.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, value::RawValue};

use crate::error::{Error, Problem};

/// Reads the JSON text of an object into the tool's own type.
///
/// # Errors
/// [`Error::InvalidArguments`] with every problem there is.
pub(super) fn parse<T: DeserializeOwned>(text: &str, schema: &Value) -> Result<T, Error> {
    serde_json::from_value(Value::Object(checked(text, schema)?))
        .map_err(|error| invalid(format!("The arguments do not fit: {error}.")))
}

fn invalid(text: String) -> Error {
    Error::InvalidArguments(vec![Problem::new("arguments", text)])
}

/// The arguments, which fit the schema. Apart from `parse`, so that there is one of it for all tools.
fn checked(text: &str, schema: &Value) -> Result<Map<String, Value>, Error> {
    let mut arguments: Map<String, Value> = serde_json::from_str(text).map_err(|_| unreadable(text))?;
    // Models write null for what they leave out.
    arguments.retain(|name, value| !value.is_null() || is_required(schema, name));
    let problems = check(&arguments, schema);
    if !problems.is_empty() {
        return Err(Error::InvalidArguments(problems));
    }
    Ok(arguments)
}

/// The problem of arguments that cannot be read: of each of them, where they can be told apart.
fn unreadable(text: &str) -> Error {
    // Raw values are looked at for their syntax alone.
    let arguments: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap_or_default();
    let texts = arguments.iter().filter(|(_, value)| value.get().starts_with('"'));
    let broken = texts.filter(|(_, value)| serde_json::from_str::<String>(value.get()).is_err());
    let problems: Vec<Problem> = broken
        .map(|(name, _)| {
            let name = shown(name);
            Problem::new(
                &name,
                format!("{name} must not contain an unpaired surrogate (half a character)."),
            )
        })
        .collect();
    if problems.is_empty() {
        return invalid("The arguments cannot be read as a JSON object.".to_owned());
    }
    Error::InvalidArguments(problems)
}

fn is_required(schema: &Value, name: &str) -> bool {
    required(schema).any(|required| required == name)
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

/// Every problem of an object of arguments.
fn check(arguments: &Map<String, Value>, schema: &Value) -> Vec<Problem> {
    let none = Map::new();
    let properties = schema.get("properties").and_then(Value::as_object).unwrap_or(&none);
    let mut problems: Vec<Problem> = required(schema)
        .filter(|name| !arguments.contains_key(*name))
        .map(|name| Problem::new(name, format!("{name} is missing: it is required.")))
        .collect();
    let is_closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    for (name, value) in arguments {
        match properties.get(name) {
            Some(property) => problems.extend(check_value(name, value, property)),
            None if is_closed => problems.push(unknown(name, properties)),
            // Today's tools ignore it, as PlanExe's own server does.
            None => {}
        }
    }
    problems
}

/// A name of the caller's, for a message.
fn shown(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn unknown(name: &str, properties: &Map<String, Value>) -> Problem {
    let name = shown(name);
    let known: Vec<&str> = properties.keys().map(String::as_str).collect();
    let allowed = if known.is_empty() {
        "none is taken".to_owned()
    } else {
        format!("allowed are {}", known.join(", "))
    };
    let text = format!("{name} is no argument of this tool: {allowed}.");
    Problem {
        field: name,
        problem: text,
    }
}

/// The first problem of a value.
fn check_value(name: &str, value: &Value, property: &Value) -> Option<Problem> {
    if property.get("type").and_then(Value::as_str) == Some("integer") {
        return check_number(name, value, property);
    }
    let Some(text) = value.as_str() else {
        return Some(Problem::new(
            name,
            format!("{name} must be a string, not {}.", kind(value)),
        ));
    };
    if let Some(allowed) = property.get("enum").and_then(Value::as_array) {
        if allowed.contains(value) {
            return None;
        }
        let allowed: Vec<String> = allowed.iter().map(Value::to_string).collect();
        return Some(Problem::new(
            name,
            format!("{name} must be one of {}.", allowed.join(", ")),
        ));
    }
    if property.get("minLength").is_some() && text.trim().is_empty() {
        return Some(Problem::new(name, format!("{name} must not be blank.")));
    }
    let limit = property.get("maxLength").and_then(Value::as_u64).unwrap_or(u64::MAX);
    if text.len() as u64 > limit && text.chars().count() as u64 > limit {
        return Some(Problem::new(
            name,
            format!("{name} must not be longer than {limit} characters."),
        ));
    }
    // Postgres keeps no text with it.
    text.contains('\0')
        .then(|| Problem::new(name, format!("{name} must not contain the character U+0000.")))
}

/// The problem of a whole number.
fn check_number(name: &str, value: &Value, property: &Value) -> Option<Problem> {
    let limit = |keyword| property.get(keyword).and_then(Value::as_i64);
    let (least, most) = (
        limit("minimum").unwrap_or(i64::MIN),
        limit("maximum").unwrap_or(i64::MAX),
    );
    let fits = value.as_i64().is_some_and(|number| (least..=most).contains(&number));
    (!fits).then(|| Problem::new(name, format!("{name} must be a whole number from {least} to {most}.")))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::tools::{ALL, Family, input_schema};

    #[derive(Debug, Deserialize)]
    struct Arguments {
        goal: String,
        size: Option<String>,
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "goal": { "type": "string", "minLength": 1, "maxLength": 10 },
                "size": { "type": "string", "enum": ["small", "large"] },
            },
            "required": ["goal"],
            "additionalProperties": false,
        })
    }

    fn problems(text: &str) -> Vec<(String, String)> {
        match parse::<Arguments>(text, &schema()) {
            Err(Error::InvalidArguments(problems)) => problems.into_iter().map(|p| (p.field, p.problem)).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    }

    #[test]
    fn good_arguments_are_read() {
        let arguments: Arguments = parse(r#"{"goal":"a bakery","size":null}"#, &schema()).expect("valid");
        assert_eq!((arguments.goal.as_str(), arguments.size), ("a bakery", None));
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let told = problems(r#"{"size":"huge","colour":"red"}"#);
        let fields: Vec<&str> = told.iter().map(|(field, _)| field.as_str()).collect();
        assert_eq!(fields, ["goal", "colour", "size"]);
        assert_eq!(told[1].1, "colour is no argument of this tool: allowed are goal, size.");
        assert_eq!(told[2].1, "size must be one of \"small\", \"large\".");
    }

    #[test]
    fn arguments_that_cannot_be_read_are_named_where_they_can_be_told_apart() {
        let fields = |text| -> Vec<String> { problems(text).into_iter().map(|(field, _)| field).collect() };
        assert_eq!(
            fields(r#"{"goal":"p","size":"\ud83d","colour":"\udca9"}"#),
            ["colour", "size"]
        );
        for text in [
            r#"{"goal":1e999}"#,
            r#"{"\ud83d":"a"}"#,
            r#"{"goal":"a"#,
            r#"["\ud83d"]"#,
        ] {
            assert_eq!(fields(text), ["arguments"], "{text}");
        }
    }

    #[test]
    fn each_problem_has_its_words() {
        for (text, words) in [
            (r#"{}"#, "goal is missing: it is required."),
            (r#"{"goal":null}"#, "goal must be a string, not null."),
            (r#"{"goal":7}"#, "goal must be a string, not a number."),
            (r#"{"goal":["a"]}"#, "goal must be a string, not an array."),
            (r#"{"goal":" \n"}"#, "goal must not be blank."),
            (
                r#"{"goal":"12345678901"}"#,
                "goal must not be longer than 10 characters.",
            ),
            (r#"{"goal":"a\u0000b"}"#, "goal must not contain the character U+0000."),
            (
                r#"{"goal":"a\ud83d b"}"#,
                "goal must not contain an unpaired surrogate (half a character).",
            ),
            (
                r#"{"goal":"\udca9\ud83d"}"#,
                "goal must not contain an unpaired surrogate (half a character).",
            ),
        ] {
            assert_eq!(problems(text), [("goal".to_owned(), words.to_owned())], "{text}");
        }
    }

    #[test]
    fn input_schemas_use_no_other_keywords() {
        let mut used = BTreeSet::new();
        for (index, tool) in ALL.iter().enumerate() {
            let schema = input_schema(index).expect("a schema");
            let object = schema.as_object().expect("an object").clone();
            assert_eq!(object.get("type"), Some(&json!("object")), "{}", tool.name);
            let closed = (tool.family == Family::Task).then_some(&json!(false));
            assert_eq!(object.get("additionalProperties"), closed, "{}", tool.name);
            used.extend(object.keys().cloned());
            for property in object
                .get("properties")
                .and_then(Value::as_object)
                .into_iter()
                .flat_map(Map::values)
            {
                let kind = property.get("type").and_then(Value::as_str);
                assert!(matches!(kind, Some("string" | "integer")), "{}", tool.name);
                used.extend(property.as_object().expect("an object").keys().cloned());
            }
        }
        let known = [
            "type",
            "properties",
            "required",
            "additionalProperties",
            "enum",
            "minLength",
            "maxLength",
            "minimum",
            "maximum",
            "default",
            "description",
        ];
        let unknown: Vec<_> = used
            .iter()
            .filter(|keyword| !known.contains(&keyword.as_str()))
            .collect();
        assert!(unknown.is_empty(), "keywords that nothing checks: {unknown:?}");
    }
}
