//! Which routes answer with which errors, and how the document describes them. Status, headers and words are those of
//! `render`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    config::Misconfigured,
    error::{Error, LinkFault, Unavailable},
    plan::{self, Percentage, TaskState},
    render, routes,
};

/// Where an error is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Met {
    /// On every route.
    Anywhere,
    /// On the routes below `/mcp`.
    UnderMcp,
    /// Where a body is read.
    WithBody,
    /// `POST /mcp`.
    Rpc,
    /// `POST /mcp/tools/call`.
    Call,
    /// Downloads.
    Download,
    /// The files of `pages/`.
    Pages,
}

/// Names every variant: a new error does not compile until somebody has decided where it is met.
fn met(error: &Error) -> &'static [Met] {
    match error {
        // Results of tools, which are answered with 200.
        Error::InvalidArguments(_)
        | Error::UnknownTool(_)
        | Error::InvalidUserKey
        | Error::InsufficientCredits { .. }
        | Error::RequestIdReused { .. }
        | Error::OutcomeUnknown { .. } => &[],
        // Of no route of the document.
        Error::NoSuchRoute | Error::MethodNotAllowed(_) => &[],
        Error::Internal(_) => &[Met::Anywhere],
        Error::Misconfigured(_) => &[Met::UnderMcp, Met::Download],
        Error::OriginRefused => &[Met::UnderMcp],
        Error::ApiKeyMissing | Error::ApiKeyWrong | Error::UserKeyRequired | Error::DatabaseUnavailable(_) => {
            &[Met::UnderMcp, Met::Download]
        }
        Error::TablesMissing(_) => &[Met::Download],
        Error::ContentTypeRefused | Error::BodyTooLarge(_) | Error::BodyUnreadable(_) | Error::BodyTooSlow => {
            &[Met::WithBody]
        }
        Error::NotAcceptable => &[Met::Rpc],
        Error::BadRequest(_) => &[Met::Call],
        Error::TaskNotFound
        | Error::GenerationFailed(_)
        | Error::NotReady { .. }
        | Error::ContentUnavailable(_)
        | Error::LinkRefused(_) => &[Met::Download],
        Error::PagesMissing(_) => &[Met::Pages],
    }
}

/// One of each error that some route answers with.
fn samples() -> Vec<Error> {
    let unavailable = [
        Unavailable::NoSuchFile,
        Unavailable::Withheld,
        Unavailable::NotStored,
        Unavailable::WorkerUnreachable,
        Unavailable::WorkerTimeout,
        Unavailable::WorkerBroken,
        Unavailable::ArchiveBroken,
        Unavailable::EntryUnsupported,
        Unavailable::TooLarge,
        Unavailable::ArchiveTooLarge,
    ];
    let mut samples = vec![
        Error::TaskNotFound,
        Error::GenerationFailed(plan::failure(Percentage::new(1.8), "2 of 111", None)),
        Error::NotReady {
            state: TaskState::Running,
            progress: Percentage::new(42.0),
        },
        Error::DatabaseUnavailable(String::new()),
        Error::TablesMissing("events, task_item".to_owned()),
        Error::PagesMissing(String::new()),
        Error::Misconfigured(Misconfigured { variable: "", why: "" }),
        Error::Internal(String::new()),
        Error::ApiKeyMissing,
        Error::ApiKeyWrong,
        Error::UserKeyRequired,
        Error::LinkRefused(LinkFault::Missing),
        Error::LinkRefused(LinkFault::Expired),
        Error::LinkRefused(LinkFault::Signature),
        Error::OriginRefused,
        Error::ContentTypeRefused,
        Error::NotAcceptable,
        Error::BodyTooLarge(1_048_576),
        Error::BodyUnreadable(String::new()),
        Error::BodyTooSlow,
        Error::BadRequest(routes::tools::FORM),
    ];
    samples.extend(unavailable.map(Error::ContentUnavailable));
    samples
}

/// Adds the errors that are met at these places to the answers of an operation.
pub(super) fn add(responses: &mut Map<String, Value>, places: &[Met]) {
    let mut by_status: BTreeMap<u16, Vec<Error>> = BTreeMap::new();
    for error in samples() {
        if met(&error).iter().any(|place| places.contains(place)) {
            let status = render::http(&error).status().as_u16();
            by_status.entry(status).or_default().push(error);
        }
    }
    for (status, errors) in by_status {
        let described = describe(&errors, places.contains(&Met::Download));
        match responses.get_mut(&status.to_string()) {
            None => {
                responses.insert(status.to_string(), described);
            }
            Some(other) => merge(other, &described),
        }
    }
}

/// The answer for errors of one status.
fn describe(errors: &[Error], for_people: bool) -> Value {
    let mut words: Vec<String> = errors.iter().map(Error::message).collect();
    words.dedup();
    let mut examples = Map::new();
    let mut headers = Map::new();
    for error in errors {
        let name = (1..)
            .map(|number| match number {
                1 => error.code().to_owned(),
                number => format!("{}_{number}", error.code()),
            })
            .find(|name| !examples.contains_key(name));
        let body = render::Detail {
            detail: error.message(),
            reason: error.reason(),
        };
        examples.insert(name.unwrap_or_default(), json!({ "value": body }));
        for (name, value) in render::http(error).headers() {
            if name != http::header::CONTENT_TYPE {
                let example = value.to_str().unwrap_or_default();
                headers.insert(
                    header_name(name.as_str()),
                    json!({ "schema": { "type": "string" }, "example": example }),
                );
            }
        }
    }
    let mut content = json!({
        "application/json": { "schema": { "$ref": "#/components/schemas/Detail" }, "examples": examples },
    });
    if let (true, Some(content)) = (for_people, content.as_object_mut()) {
        content.insert("text/html".to_owned(), json!({ "schema": { "type": "string" } }));
    }
    json!({ "description": words.join("\n"), "headers": headers, "content": content })
}

/// As it is usually written: `Retry-After`.
fn header_name(name: &str) -> String {
    if name == "www-authenticate" {
        return "WWW-Authenticate".to_owned();
    }
    let capital = |part: &str| part.get(..1).unwrap_or_default().to_uppercase() + part.get(1..).unwrap_or_default();
    name.split('-').map(capital).collect::<Vec<_>>().join("-")
}

/// One status, two kinds of body.
fn merge(own: &mut Value, error: &Value) {
    const SCHEMA: &str = "/content/application~1json/schema";
    if let (Some(own), Some(error)) = (own.pointer_mut(SCHEMA), error.pointer(SCHEMA)) {
        *own = json!({ "anyOf": [own.take(), error] });
    }
    let examples = "/content/application~1json/examples";
    if let (Some(own), Some(error)) = (
        own.pointer_mut(examples).and_then(Value::as_object_mut),
        error.pointer(examples).and_then(Value::as_object),
    ) {
        own.extend(error.clone());
    }
    let more = error.get("description").and_then(Value::as_str).unwrap_or_default();
    if let Some(Value::String(words)) = own.get_mut("description") {
        words.push('\n');
        words.push_str(more);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_that_a_route_answers_with_is_among_the_samples() {
        let seen: Vec<(u16, String)> = samples()
            .iter()
            .map(|error| (render::http(error).status().as_u16(), error.code().to_owned()))
            .collect();
        for (error, status, ..) in render::every_error() {
            let known = seen.contains(&(status, error.code().to_owned()));
            assert!(known || met(&error).is_empty(), "{error}");
        }
    }

    #[test]
    fn two_kinds_of_one_status_are_both_there() {
        let content = json!({ "application/json": { "schema": { "type": "string" }, "examples": { "own": {} } } });
        let mut own = json!({ "description": "Own.", "content": content });
        merge(&mut own, &describe(&[Error::ApiKeyMissing], false));
        let content = &own["content"]["application/json"];
        assert_eq!(content["schema"]["anyOf"].as_array().map(Vec::len), Some(2));
        assert!(content["examples"]["API_KEY_MISSING"].is_object() && content["examples"]["own"].is_object());
        assert!(
            own["description"]
                .as_str()
                .is_some_and(|words| words.starts_with("Own.\nMissing API key."))
        );
    }
}
