//! Errors as JSON-RPC has them: the codes, the `error` member of an answer, and an [`Error`] as one.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Class, Error, Step};

/// The body is not JSON (JSON-RPC 2.0 section 5.1).
pub(super) const PARSE_ERROR: i64 = -32700;
/// The JSON is no message that MCP knows.
pub const INVALID_REQUEST: i64 = -32600;
/// The method is not served.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i64 = -32602;
/// A fault of the server.
pub const INTERNAL_ERROR: i64 = -32603;

/// The error member of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fault {
    /// One of the codes of JSON-RPC 2.0 or MCP.
    pub code: i64,
    /// For people.
    pub message: String,
    /// What a program can make use of.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "serde_json::Value", default)]
    pub data: Option<serde_json::Value>,
}

impl Fault {
    /// An error without data.
    #[must_use]
    pub fn new(code: i64, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            data: None,
        }
    }

    /// The same error with data.
    #[must_use]
    pub fn with_data(self, data: serde_json::Value) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }
}

/// The JSON-RPC error of a request that fails outside a tool's result. What the caller has to correct is a matter of the
/// parameters once a tool or a file was looked for, and of the request before that.
#[must_use]
pub fn json_rpc(error: &Error) -> Fault {
    let code = match error.class() {
        Class::Caller(_) | Class::Permanent => match error.step() {
            Step::Tool | Step::Call | Step::File => INVALID_PARAMS,
            Step::Any | Step::Route | Step::Origin | Step::Key | Step::Accept | Step::Body | Step::Page => {
                INVALID_REQUEST
            }
        },
        Class::Temporary(_) | Class::Ours => INTERNAL_ERROR,
    };
    Fault::new(code, error.message())
}
