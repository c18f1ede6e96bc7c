//! Builds answers, and converts an [`Error`] to JSON, to a page, or to the result of a tool, by its class. Independent of
//! MCP.

mod page;

use std::{borrow::Cow, pin::Pin};

use bytes::Bytes;
use http::{HeaderValue, StatusCode, header};
use http_body_util::{Either, Full};
pub use page::page;
use schemars::JsonSchema;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value};

use crate::{
    error::{Class, Error, Mistake, Outage, RETRY_AFTER},
    json,
};

/// The body of an answer: complete or streamed.
pub type Body = Either<Full<Bytes>, Pin<Box<dyn http_body::Body<Data = Bytes, Error = Error>>>>;

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

/// An answer with a complete body.
#[must_use]
pub fn content(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = http::Response::new(Either::Left(Full::new(body.into())));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The body of an error outside MCP.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ErrorBody {
    /// What happened and what to do about it.
    pub detail: Cow<'static, str>,
    /// Why a file is not available: a code.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String", default)]
    pub reason: Option<&'static str>,
}

/// The answer to an error outside MCP: `{"detail": …}` with the status and the headers of the error.
#[must_use]
pub fn http(error: &Error) -> Response {
    let status = http_status(error.class());
    let body = ErrorBody {
        detail: error.message(),
        reason: error.reason(),
    };
    let mut response = json(status, json::text(&body));
    let headers = response.headers_mut();
    if status == StatusCode::UNAUTHORIZED {
        // RFC 9110 section 11.6.1 and RFC 6750 section 3.
        headers.insert(
            header::WWW_AUTHENTICATE,
            HeaderValue::from_static("Bearer realm=\"planexe\""),
        );
    }
    if matches!(error.class(), Class::Temporary(_)) {
        headers.insert(header::RETRY_AFTER, RETRY_AFTER.into());
    }
    if let Error::MethodNotAllowed(allow) = error {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    response
}

/// The HTTP status of an error outside MCP.
fn http_status(class: Class) -> StatusCode {
    match class {
        Class::Caller(mistake) => match mistake {
            Mistake::Invalid => StatusCode::BAD_REQUEST,
            Mistake::Unauthorized => StatusCode::UNAUTHORIZED,
            Mistake::PaymentRequired => StatusCode::PAYMENT_REQUIRED,
            Mistake::Forbidden => StatusCode::FORBIDDEN,
            Mistake::NotFound => StatusCode::NOT_FOUND,
            Mistake::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Mistake::NotAcceptable => StatusCode::NOT_ACCEPTABLE,
            Mistake::TooSlow => StatusCode::REQUEST_TIMEOUT,
            Mistake::Conflict => StatusCode::CONFLICT,
            Mistake::Gone => StatusCode::GONE,
            Mistake::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Mistake::MediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        },
        // The request is valid but can never succeed (RFC 9110 section 15.5.21).
        Class::Permanent => StatusCode::UNPROCESSABLE_ENTITY,
        Class::Temporary(outage) => match outage {
            Outage::Service => StatusCode::SERVICE_UNAVAILABLE,
            Outage::Upstream => StatusCode::BAD_GATEWAY,
            Outage::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        },
        Class::Ours => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// The result of a tool that failed: `{"error": {"code", "message", "details"?}}`.
#[derive(Debug, Serialize)]
pub struct ToolErrorBody {
    /// The error.
    pub error: ToolError,
}

/// The error of a tool.
#[derive(Debug, Serialize, JsonSchema)]
pub struct ToolError {
    /// Stable code.
    pub code: &'static str,
    /// What happened and what to do.
    pub message: Cow<'static, str>,
    /// Details for programs.
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "object")]
    #[schemars(with = "Map<String, Value>", default)]
    pub details: Vec<(&'static str, Value)>,
}

fn object<S: Serializer>(members: &[(&str, Value)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
}

/// Converts an error to the result of a tool.
#[must_use]
pub fn tool_result(error: &Error) -> ToolErrorBody {
    ToolErrorBody {
        error: ToolError {
            code: error.code(),
            message: error.message(),
            details: error.details(),
        },
    }
}
