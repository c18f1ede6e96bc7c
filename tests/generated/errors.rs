//! Every error in its renderings: over HTTP, in JSON-RPC, as the result of a tool; and the table of them in
//! docs/troubleshooting.md.

use std::collections::BTreeSet;

use http_body_util::BodyExt as _;
use planexe_mcp::{error::Error, mcp::json_rpc, render};
use serde_json::{Value, json};

use crate::assert_part;

/// How Rust shows an error, as far as that tells it from the others; its code, its HTTP status, its JSON-RPC code.
const RENDERINGS: &[(&str, &str, u16, i64)] = &[
    ("InvalidArguments", "INVALID_ARGUMENT", 400, -32602),
    ("UnknownTool", "INVALID_TOOL", 404, -32602),
    ("TaskNotFound", "TASK_NOT_FOUND", 404, -32602),
    ("GenerationFailed", "generation_failed", 404, -32602),
    ("NotReady", "NOT_READY", 404, -32602),
    ("ContentUnavailable(NoSuchFile", "content_unavailable", 404, -32602),
    ("ContentUnavailable(Withheld", "content_unavailable", 404, -32602),
    ("ContentUnavailable(NotStored", "content_unavailable", 410, -32602),
    (
        "ContentUnavailable(WorkerUnreachable",
        "content_unavailable",
        502,
        -32603,
    ),
    ("ContentUnavailable(WorkerTimeout", "content_unavailable", 504, -32603),
    ("ContentUnavailable(WorkerStatus", "content_unavailable", 502, -32603),
    ("ContentUnavailable(WorkerBroken", "content_unavailable", 502, -32603),
    ("ContentUnavailable(ArchiveBroken", "content_unavailable", 422, -32602),
    (
        "ContentUnavailable(EntryUnsupported",
        "content_unavailable",
        422,
        -32602,
    ),
    ("ContentUnavailable(TooLarge", "content_unavailable", 422, -32602),
    ("ContentUnavailable(ArchiveTooLarge", "content_unavailable", 422, -32602),
    ("UserKeyRequired", "USER_API_KEY_REQUIRED", 401, -32600),
    ("InvalidUserKey", "INVALID_USER_API_KEY", 403, -32602),
    ("InsufficientCredits", "INSUFFICIENT_CREDITS", 402, -32602),
    ("RequestIdReused", "CLIENT_REQUEST_ID_REUSED", 409, -32602),
    ("NotRequeued { again: Retry", "PLAN_NOT_FAILED", 409, -32602),
    ("NotRequeued { again: Resume", "PLAN_NOT_RESUMABLE", 409, -32602),
    ("StillAtWork(Retry", "PLAN_NOT_FAILED", 409, -32602),
    ("StillAtWork(Resume", "PLAN_NOT_RESUMABLE", 409, -32602),
    ("PipelineVersionMismatch", "PIPELINE_VERSION_MISMATCH", 409, -32602),
    ("ModelProfilesUnavailable", "MODEL_PROFILES_UNAVAILABLE", 500, -32603),
    ("DatabaseUnavailable", "DATABASE_UNAVAILABLE", 503, -32603),
    ("TablesMissing", "DATABASE_UNAVAILABLE", 503, -32603),
    ("OutcomeUnknown", "DATABASE_UNAVAILABLE", 503, -32603),
    ("PagesMissing", "PAGES_MISSING", 500, -32603),
    ("Misconfigured", "SERVER_MISCONFIGURED", 503, -32603),
    ("Internal", "INTERNAL_ERROR", 500, -32603),
    ("ApiKeyMissing", "API_KEY_MISSING", 401, -32600),
    ("ApiKeyWrong", "API_KEY_WRONG", 403, -32600),
    ("LinkRefused(Expired", "LINK_EXPIRED", 403, -32602),
    ("LinkRefused(Signature", "LINK_INVALID", 403, -32602),
    ("LinkRefused(Missing", "LINK_REQUIRED", 401, -32602),
    ("OriginRefused", "ORIGIN_REFUSED", 403, -32600),
    ("NoSuchRoute", "NO_SUCH_ROUTE", 404, -32600),
    ("MethodNotAllowed", "METHOD_NOT_ALLOWED", 405, -32600),
    ("ContentTypeRefused", "CONTENT_TYPE_REFUSED", 415, -32600),
    ("NotAcceptable", "NOT_ACCEPTABLE", 406, -32600),
    ("BodyTooLarge", "BODY_TOO_LARGE", 413, -32600),
    ("BodyUnreadable", "BODY_UNREADABLE", 400, -32600),
    ("BodyTooSlow", "BODY_TOO_SLOW", 408, -32600),
    ("BadRequest", "BAD_REQUEST", 400, -32602),
];

/// Headers that go with a status.
const HEADERS: [(&str, &[u16], &str); 3] = [
    ("retry-after", &[502, 503, 504], "5"),
    ("www-authenticate", &[401], "Bearer realm=\"planexe\""),
    ("allow", &[405], "GET, HEAD"),
];

/// What is not as it should be of the renderings of an error.
fn problems(error: &Error, code: &str, status: u16, rpc_code: i64) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, found: Value, wanted: Value| {
        if found != wanted {
            problems.push(format!("{error:?}: {what} is {found} instead of {wanted}"));
        }
    };
    let message = error.message();
    let answer = render::http(error);
    expect("HTTP status", answer.status().as_u16().into(), status.into());
    for (name, statuses, value) in HEADERS {
        let found = answer.headers().get(name).map(|value| value.to_str().expect("ASCII"));
        expect(name, found.into(), statuses.contains(&status).then_some(value).into());
    }
    let body = futures::executor::block_on(answer.into_body().collect());
    let body = body.map_err(|_| "a body that fails").expect("a whole body").to_bytes();
    let body: Value = serde_json::from_slice(&body).expect("JSON");
    expect("HTTP detail", body["detail"].clone(), message.as_ref().into());
    expect("HTTP reason", body["reason"].clone(), error.reason().into());
    expect(
        "status of the page",
        render::page(error).status().as_u16().into(),
        status.into(),
    );
    let fault = json_rpc(error);
    expect(
        "JSON-RPC",
        json!([fault.code, fault.message]),
        json!([rpc_code, message]),
    );
    let result = render::tool_result(error).error;
    expect(
        "tool result",
        json!([result.code, result.message]),
        json!([code, message]),
    );
    expect("last character", message.ends_with('.').into(), true.into());
    expect(
        "a cause in the message",
        message.contains("secret-host").into(),
        false.into(),
    );
    problems
}

#[test]
fn every_error_has_its_renderings() {
    let mut unused: BTreeSet<&str> = RENDERINGS.iter().map(|(name, ..)| *name).collect();
    let mut failures = Vec::new();
    for error in Error::samples() {
        let variant = format!("{error:?}");
        let row = RENDERINGS.iter().find(|(known, ..)| {
            let rest = variant.strip_prefix(known);
            rest.is_some_and(|rest| !rest.starts_with(char::is_alphanumeric))
        });
        match row {
            None => failures.push(format!("{variant} is not in the table")),
            Some((known, code, status, rpc_code)) => {
                unused.remove(known);
                failures.extend(problems(&error, code, *status, *rpc_code));
            }
        }
    }
    failures.extend(unused.iter().map(|name| format!("{name}: there is no such error")));
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn the_table_of_errors_has_every_error() {
    let mut rows = vec![
        "| code | HTTP | reason | message |".to_owned(),
        "| --- | --- | --- | --- |".to_owned(),
    ];
    for error in Error::samples() {
        let reason = error.reason().map(|reason| format!("`{reason}`")).unwrap_or_default();
        let message = error
            .message()
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('|', "\\|");
        let status = render::http(&error).status().as_u16();
        let row = format!("| `{}` | {status} | {reason} | {message} |", error.code());
        // Two errors may be one for callers.
        if !rows.contains(&row) {
            rows.push(row);
        }
    }
    assert_part("docs/troubleshooting.md", "errors", &rows.join("\n"));
}
