//! Every error in its three renderings, in one table.

use crate::{
    config::Misconfigured,
    error::{Error, LinkFault, Problem, Unavailable},
    plan::{self, Percentage, TaskState},
    render::{http, json_rpc, tool_result},
};

/// Every error with its HTTP status, its JSON-RPC code and its public code.
pub(crate) fn every_error() -> Vec<(Error, u16, i64, &'static str)> {
    let problem = Problem {
        field: "prompt".to_owned(),
        problem: "prompt is missing.".to_owned(),
    };
    vec![
        (Error::InvalidArguments(vec![problem]), 400, -32602, "INVALID_ARGUMENT"),
        (Error::UnknownTool("x".to_owned()), 404, -32602, "INVALID_TOOL"),
        (Error::TaskNotFound, 404, -32602, "TASK_NOT_FOUND"),
        (
            Error::GenerationFailed(plan::failure(Percentage::new(1.8), "2 of 111", None)),
            404,
            -32602,
            "generation_failed",
        ),
        (
            Error::NotReady {
                state: TaskState::Running,
                progress: Percentage::new(42.0),
            },
            404,
            -32602,
            "NOT_READY",
        ),
        (
            Error::ContentUnavailable(Unavailable::NoSuchFile),
            404,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::WorkerUnreachable),
            502,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::WorkerTimeout),
            504,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::WorkerStatus(500)),
            502,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::WorkerBroken),
            502,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::ArchiveBroken),
            422,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::EntryUnsupported),
            422,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::TooLarge),
            422,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::ArchiveTooLarge),
            422,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::Withheld),
            404,
            -32602,
            "content_unavailable",
        ),
        (
            Error::ContentUnavailable(Unavailable::NotStored),
            410,
            -32602,
            "content_unavailable",
        ),
        (Error::UserKeyRequired, 401, -32602, "USER_API_KEY_REQUIRED"),
        (Error::InvalidUserKey, 403, -32602, "INVALID_USER_API_KEY"),
        (
            Error::InsufficientCredits { balance: 0, price: 1 },
            402,
            -32602,
            "INSUFFICIENT_CREDITS",
        ),
        (
            Error::RequestIdReused {
                same_prompt: true,
                same_detail: false,
            },
            409,
            -32602,
            "CLIENT_REQUEST_ID_REUSED",
        ),
        (
            Error::DatabaseUnavailable("secret-host".to_owned()),
            503,
            -32603,
            "DATABASE_UNAVAILABLE",
        ),
        (
            Error::TablesMissing("events, task_item".to_owned()),
            503,
            -32603,
            "DATABASE_UNAVAILABLE",
        ),
        (
            Error::OutcomeUnknown {
                cause: "secret-host".to_owned(),
                repeatable: true,
            },
            503,
            -32603,
            "DATABASE_UNAVAILABLE",
        ),
        (
            Error::OutcomeUnknown {
                cause: "secret-host".to_owned(),
                repeatable: false,
            },
            503,
            -32603,
            "DATABASE_UNAVAILABLE",
        ),
        (Error::BodyTooSlow, 408, -32600, "BODY_TOO_SLOW"),
        (
            Error::PagesMissing("secret-host".to_owned()),
            500,
            -32603,
            "PAGES_MISSING",
        ),
        (
            Error::Misconfigured(Misconfigured {
                variable: "secret-host",
                why: "must be true or false",
            }),
            503,
            -32603,
            "SERVER_MISCONFIGURED",
        ),
        (Error::Internal("secret-host".to_owned()), 500, -32603, "INTERNAL_ERROR"),
        (Error::ApiKeyMissing, 401, -32600, "API_KEY_MISSING"),
        (Error::ApiKeyWrong, 403, -32600, "API_KEY_WRONG"),
        (Error::LinkRefused(LinkFault::Expired), 403, -32600, "LINK_EXPIRED"),
        (Error::LinkRefused(LinkFault::Signature), 403, -32600, "LINK_INVALID"),
        (Error::LinkRefused(LinkFault::Missing), 401, -32600, "LINK_REQUIRED"),
        (Error::OriginRefused, 403, -32600, "ORIGIN_REFUSED"),
        (Error::NoSuchRoute, 404, -32600, "NO_SUCH_ROUTE"),
        (Error::MethodNotAllowed("POST"), 405, -32600, "METHOD_NOT_ALLOWED"),
        (Error::ContentTypeRefused, 415, -32600, "CONTENT_TYPE_REFUSED"),
        (Error::NotAcceptable, 406, -32600, "NOT_ACCEPTABLE"),
        (Error::BodyTooLarge(10), 413, -32600, "BODY_TOO_LARGE"),
        (
            Error::BodyUnreadable("secret-host".to_owned()),
            400,
            -32600,
            "BODY_UNREADABLE",
        ),
        (Error::BadRequest("Send an object."), 400, -32602, "BAD_REQUEST"),
    ]
}

#[test]
fn every_error_has_its_three_renderings() {
    for (error, status, rpc_code, code) in every_error() {
        assert_eq!(http(&error).status().as_u16(), status, "{error:?}");
        let fault = json_rpc(&error);
        assert_eq!(fault.code, rpc_code, "{error:?}");
        let body = tool_result(&error);
        assert_eq!(body.error.code, code, "{error:?}");
        assert_eq!(body.error.message, fault.message);
        assert!(
            body.error.message.ends_with('.'),
            "a message is a sentence: {}",
            body.error.message
        );
        assert!(
            !body.error.message.contains("secret-host"),
            "causes are for the log: {}",
            body.error.message
        );
    }
}

#[test]
fn statuses_that_call_for_headers_have_them() {
    let header = |error: Error, name: &str| http(&error).headers().get(name).map(|v| v.to_str().unwrap().to_owned());
    assert_eq!(
        header(Error::ApiKeyMissing, "www-authenticate").as_deref(),
        Some("Bearer realm=\"planexe\"")
    );
    assert_eq!(
        header(Error::MethodNotAllowed("GET, HEAD"), "allow").as_deref(),
        Some("GET, HEAD")
    );
    assert_eq!(
        header(Error::DatabaseUnavailable(String::new()), "retry-after").as_deref(),
        Some("5")
    );
    assert_eq!(header(Error::TaskNotFound, "retry-after"), None);
}
