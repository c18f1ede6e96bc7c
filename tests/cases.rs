//! Raw requests and what they are answered, as data: `cases/*.json`. Each file is one stage; each of its cases is one
//! request. To add a case, add its data.
//!
//! An expected body is matched member by member: members that the case does not name may be there, `"<any>"` fits
//! every value, `"<absent>"` wants no such member. Of a string, `"<…text…>"` wants only that it contains the text.

use std::collections::BTreeMap;

use base64ct::{Base64, Encoding as _};
use bytes::Bytes;
use http::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::support::{Answer, Stage, project, run};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    /// What the file is about.
    #[serde(rename = "about")]
    _about: String,
    /// Environment of the server.
    #[serde(default)]
    settings: BTreeMap<String, String>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    /// Where the rule stands.
    #[serde(rename = "clause", default)]
    _clause: Option<String>,
    request: CaseRequest,
    answer: CaseAnswer,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseRequest {
    method: String,
    path: String,
    /// `null` takes a default header away.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    /// A JSON body.
    body: Option<Value>,
    /// A body as text.
    text: Option<String>,
    /// A body as base64.
    base64: Option<String>,
    /// A body of so many bytes `x`.
    size: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseAnswer {
    status: u16,
    /// `null` wants no such header.
    #[serde(default)]
    headers: BTreeMap<String, Option<String>>,
    body: Option<Value>,
    /// The whole body as text.
    text: Option<String>,
}

#[test]
fn every_case_is_answered_as_it_says() {
    run(async {
        let mut files: Vec<_> = std::fs::read_dir(project().join("tests/cases"))
            .expect("tests/cases")
            .map(|entry| entry.expect("an entry").path())
            .collect();
        files.sort();
        let (mut count, mut failures) = (0, Vec::new());
        for path in files {
            let text = std::fs::read_to_string(&path).expect("a readable file");
            let file: CaseFile = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            let builder = file
                .settings
                .iter()
                .fold(Stage::builder(), |stage, (name, value)| stage.set(name, value));
            let stage = builder.build().await;
            for case in &file.cases {
                count += 1;
                let answer = send(&stage, &case.request).await;
                if let Err(reason) = check(&case.answer, &answer) {
                    let file = path.file_name().unwrap_or_default().to_string_lossy();
                    failures.push(format!(
                        "{file}: {}: {reason}\n    answered: {}",
                        case.name,
                        answer.text()
                    ));
                }
            }
        }
        assert!(
            failures.is_empty(),
            "{} of {count} cases:\n{}",
            failures.len(),
            failures.join("\n")
        );
        println!("{count} cases");
    });
}

async fn send(stage: &Stage, case: &CaseRequest) -> Answer {
    let body: Bytes = match (&case.body, &case.text, &case.base64, case.size) {
        (Some(json), None, None, None) => json.to_string().into(),
        (None, Some(text), None, None) => text.clone().into(),
        (None, None, Some(base64), None) => Base64::decode_vec(base64).expect("base64").into(),
        (None, None, None, Some(size)) => vec![b'x'; size].into(),
        (None, None, None, None) => Bytes::new(),
        _ => panic!("a case has one body at the most"),
    };
    let mut headers: BTreeMap<&str, Option<&str>> = BTreeMap::from([("host", Some("test.local:3000"))]);
    let length = body.len().to_string();
    if !body.is_empty() {
        headers.insert("content-length", Some(&length));
        headers.insert("content-type", Some("application/json"));
    }
    headers.extend(
        case.headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_deref())),
    );
    let method = Method::from_bytes(case.method.as_bytes()).expect("a method");
    let mut request = http::Request::builder().method(method).uri(&case.path);
    for (name, value) in headers {
        if let Some(value) = value {
            request = request.header(name, value);
        }
    }
    stage.send(request.body(body).expect("a valid request")).await
}

fn check(expected: &CaseAnswer, answer: &Answer) -> Result<(), String> {
    if answer.status() != expected.status {
        return Err(format!("status {} instead of {}", answer.status(), expected.status));
    }
    if answer.header("x-content-type-options") != "nosniff" {
        return Err("X-Content-Type-Options is missing".to_owned());
    }
    if answer.status() != 204 && !answer.has_header("content-length") {
        return Err("Content-Length is missing".to_owned());
    }
    for (name, value) in &expected.headers {
        let actual = answer.has_header(name).then(|| answer.header(name));
        if actual != value.as_deref() {
            return Err(format!("header {name} is {actual:?} instead of {value:?}"));
        }
    }
    if let Some(text) = &expected.text
        && answer.text() != *text
    {
        return Err(format!("the body is not {text:?}"));
    }
    match &expected.body {
        Some(body) => matches(body, &answer.json(), "body"),
        None => Ok(()),
    }
}

/// Whether a value fits what a case expects.
fn matches(expected: &Value, actual: &Value, path: &str) -> Result<(), String> {
    match (expected, actual) {
        (Value::String(any), _) if any == "<any>" => Ok(()),
        (Value::String(pattern), Value::String(text)) if pattern.starts_with("<…") && pattern.ends_with("…>") => {
            let part = pattern.trim_start_matches("<…").trim_end_matches("…>");
            if text.contains(part) {
                Ok(())
            } else {
                Err(format!("{path}: {text:?} does not contain {part:?}"))
            }
        }
        (Value::Object(expected), Value::Object(actual)) => {
            for (name, value) in expected {
                let path = format!("{path}.{name}");
                match (value.as_str() == Some("<absent>"), actual.get(name)) {
                    (true, None) => {}
                    (true, Some(_)) => return Err(format!("{path} is there")),
                    (false, None) => return Err(format!("{path} is missing")),
                    (false, Some(actual)) => matches(value, actual, &path)?,
                }
            }
            Ok(())
        }
        (Value::Array(expected), Value::Array(actual)) => {
            if expected.len() != actual.len() {
                return Err(format!(
                    "{path} has {} elements instead of {}",
                    actual.len(),
                    expected.len()
                ));
            }
            let mut pairs = expected.iter().zip(actual).enumerate();
            pairs.try_for_each(|(index, (expected, actual))| matches(expected, actual, &format!("{path}[{index}]")))
        }
        _ if expected == actual => Ok(()),
        _ => Err(format!("{path} is {actual} instead of {expected}")),
    }
}
