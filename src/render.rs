//! The renderings of an [`Error`]: HTTP answer, JSON-RPC error, tool result. And the plain JSON answer.
//!
//! The matches name every variant: a new error does not compile until somebody has decided what callers see of it.

mod page;

use std::pin::Pin;

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{Either, Full};
pub use page::page;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::{
    error::{Error, LinkFault, Unavailable},
    mcp,
};

/// The body of an answer: whole, or as it comes.
pub type Body = Either<Full<Bytes>, Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>>;

/// Seconds after which a neighbour that failed may be back.
pub const RETRY_AFTER: u16 = 5;

/// An answer.
pub type Response = http::Response<Body>;

/// An answer without a body.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = http::Response::new(Either::Left(Full::default()));
    *response.status_mut() = status;
    response
}

/// An answer whose body is this JSON text.
#[must_use]
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    content(status, "application/json", body)
}

/// An answer with a whole body.
#[must_use]
pub fn content(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// JSON text of a value of ours. What cannot be written (a map with keys that are no strings) does not occur in them.
#[must_use]
pub fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned())
}

/// The body of an error on a plain route.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Detail {
    /// What happened and what to do about it.
    pub detail: String,
    /// Why a file is not handed out, in one word.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    pub reason: Option<&'static str>,
}

/// The answer of a plain HTTP route: `{"detail": …}` with the status and headers that the error calls for.
#[must_use]
pub fn http(error: &Error) -> Response {
    let status = http_status(error);
    let mut response = json(
        status,
        to_json(&Detail {
            detail: error.message(),
            reason: error.reason(),
        }),
    );
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 11.6.1 and RFC 6750 section 3.
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"planexe\""),
        );
    }
    if matches!(
        status,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT | StatusCode::BAD_GATEWAY
    ) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER.into());
    }
    if let Error::MethodNotAllowed(allow) = error {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// The HTTP status of an error on a plain route.
fn http_status(error: &Error) -> StatusCode {
    match error {
        Error::InvalidArguments(_) | Error::BadRequest(_) | Error::BodyUnreadable(_) => StatusCode::BAD_REQUEST,
        Error::ApiKeyMissing | Error::UserKeyRequired | Error::LinkRefused(LinkFault::Missing) => {
            StatusCode::UNAUTHORIZED
        }
        Error::ApiKeyWrong
        | Error::InvalidUserKey
        | Error::LinkRefused(LinkFault::Expired | LinkFault::Signature)
        | Error::OriginRefused => StatusCode::FORBIDDEN,
        Error::InsufficientCredits { .. } => StatusCode::PAYMENT_REQUIRED,
        Error::UnknownTool(_)
        | Error::TaskNotFound
        | Error::GenerationFailed(_)
        | Error::NotReady { .. }
        | Error::NoSuchRoute
        | Error::ContentUnavailable(Unavailable::NoSuchFile | Unavailable::Withheld) => StatusCode::NOT_FOUND,
        Error::ContentUnavailable(Unavailable::NotStored) => StatusCode::GONE,
        // The file cannot be handed out, however often somebody asks (RFC 9110 section 15.5.21).
        Error::ContentUnavailable(
            Unavailable::ArchiveBroken
            | Unavailable::EntryUnsupported
            | Unavailable::TooLarge
            | Unavailable::ArchiveTooLarge,
        ) => StatusCode::UNPROCESSABLE_ENTITY,
        Error::RequestIdReused { .. } => StatusCode::CONFLICT,
        Error::MethodNotAllowed(_) => StatusCode::METHOD_NOT_ALLOWED,
        Error::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
        Error::BodyTooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Error::ContentTypeRefused => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Error::PagesMissing(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
        Error::ContentUnavailable(
            Unavailable::WorkerUnreachable | Unavailable::WorkerStatus(_) | Unavailable::WorkerBroken,
        ) => StatusCode::BAD_GATEWAY,
        Error::DatabaseUnavailable(_)
        | Error::TablesMissing(_)
        | Error::OutcomeUnknown { .. }
        | Error::Misconfigured(_) => StatusCode::SERVICE_UNAVAILABLE,
        Error::BodyTooSlow => StatusCode::REQUEST_TIMEOUT,
        Error::ContentUnavailable(Unavailable::WorkerTimeout) => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The code of an error that answers a JSON-RPC request as a protocol error. Tools report theirs as results.
#[must_use]
pub fn json_rpc(error: &Error) -> mcp::Fault {
    let code = match error {
        Error::UnknownTool(_)
        | Error::InvalidArguments(_)
        | Error::BadRequest(_)
        | Error::TaskNotFound
        | Error::GenerationFailed(_)
        | Error::NotReady { .. }
        | Error::ContentUnavailable(_)
        | Error::UserKeyRequired
        | Error::InvalidUserKey
        | Error::InsufficientCredits { .. }
        | Error::RequestIdReused { .. } => mcp::INVALID_PARAMS,
        Error::ApiKeyMissing
        | Error::ApiKeyWrong
        | Error::LinkRefused(_)
        | Error::OriginRefused
        | Error::NoSuchRoute
        | Error::MethodNotAllowed(_)
        | Error::ContentTypeRefused
        | Error::NotAcceptable
        | Error::BodyTooLarge(_)
        | Error::BodyUnreadable(_)
        | Error::BodyTooSlow => mcp::INVALID_REQUEST,
        Error::DatabaseUnavailable(_)
        | Error::TablesMissing(_)
        | Error::OutcomeUnknown { .. }
        | Error::PagesMissing(_)
        | Error::Misconfigured(_)
        | Error::Internal(_) => mcp::INTERNAL_ERROR,
    };
    mcp::Fault::new(code, error.message())
}

/// What a tool returns in place of its result: `{"error": {"code", "message", "details"?}}`.
#[derive(Debug, Serialize)]
pub struct ErrorBody {
    /// The error.
    pub error: ErrorObject,
}

/// The error of a tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorObject {
    /// Stable code.
    pub code: &'static str,
    /// What happened and what to do.
    pub message: String,
    /// What a program can make use of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>", default)]
    pub details: Option<Value>,
}

/// The result of a tool that failed.
#[must_use]
pub fn tool_result(error: &Error) -> ErrorBody {
    let details = match error {
        Error::InvalidArguments(problems) => Some(serde_json::json!({ "arguments": problems })),
        Error::InsufficientCredits { balance, price } => {
            Some(serde_json::json!({ "credits_balance": balance, "credits_per_plan": price }))
        }
        Error::RequestIdReused {
            same_prompt,
            same_detail,
        } => Some(serde_json::json!({ "same_prompt": same_prompt, "same_speed_vs_detail": same_detail })),
        Error::NotReady { state, progress } => {
            Some(serde_json::json!({ "state": state.name(), "progress_percentage": progress.percent() }))
        }
        Error::DatabaseUnavailable(_) | Error::TablesMissing(_) => {
            Some(serde_json::json!({ "retry_after_sec": RETRY_AFTER }))
        }
        Error::OutcomeUnknown { .. } => {
            Some(serde_json::json!({ "retry_after_sec": RETRY_AFTER, "outcome_unknown": true }))
        }
        Error::UnknownTool(_)
        | Error::TaskNotFound
        | Error::GenerationFailed(_)
        | Error::ContentUnavailable(_)
        | Error::UserKeyRequired
        | Error::InvalidUserKey
        | Error::PagesMissing(_)
        | Error::Misconfigured(_)
        | Error::Internal(_)
        | Error::ApiKeyMissing
        | Error::ApiKeyWrong
        | Error::LinkRefused(_)
        | Error::OriginRefused
        | Error::NoSuchRoute
        | Error::MethodNotAllowed(_)
        | Error::ContentTypeRefused
        | Error::NotAcceptable
        | Error::BodyTooLarge(_)
        | Error::BodyUnreadable(_)
        | Error::BodyTooSlow
        | Error::BadRequest(_) => None,
    };
    ErrorBody {
        error: ErrorObject {
            code: error.code(),
            message: error.message(),
            details,
        },
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
pub(crate) use tests::every_error;
