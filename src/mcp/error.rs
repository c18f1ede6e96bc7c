//! JSON-RPC errors: their codes, the `error` member of an answer, and the conversion of an [`Error`] to it.

use schemars::JsonSchema;
use serde::Serialize;

use crate::error::{Class, Error, Step};

/// The body is not JSON (JSON-RPC 2.0 section 5.1).
pub(super) const PARSE_ERROR: i64 = -32700;
/// The JSON is not a valid message of MCP.
pub const INVALID_REQUEST: i64 = -32600;
/// The method does not exist.
pub(super) const METHOD_NOT_FOUND: i64 = -32601;
/// The parameters do not fit the method.
pub const INVALID_PARAMS: i64 = -32602;
/// An error inside the server.
pub const INTERNAL_ERROR: i64 = -32603;

/// The `error` member of an answer.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Fault {
    /// One of the codes of JSON-RPC 2.0 or MCP.
    pub code: i64,
    /// For people.
    pub message: String,
    /// Details for programs.
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

/// Converts an error to that of JSON-RPC. A mistake of the caller is [`INVALID_PARAMS`] when it was found in the arguments
/// of a tool or in the name of a file, and [`INVALID_REQUEST`] when it was found earlier.
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
