//! Doors to the parsers of this module for the fuzz targets. In no build that is served.

use super::{
    frame::{Fault, Incoming, answer, read, refusal},
    revision::{self, Envelope, Era},
};

/// What a message has been read as.
#[derive(Debug)]
pub enum Read {
    /// A request.
    Request {
        /// The JSON text of its id.
        id: String,
        /// The method.
        method: String,
        /// The JSON text of its arguments.
        arguments: Option<String>,
        /// An answer to it, with an empty result.
        answer: String,
        /// Whether it speaks the revision without a handshake, or why its envelope is refused.
        modern: Result<bool, Fault>,
    },
    /// Wants no answer.
    Notification,
    /// Answers us.
    Response,
    /// No message.
    Refused {
        /// The code of the refusal.
        code: i64,
        /// The JSON text of the id that the refusal goes to.
        id: Option<String>,
        /// The refusal.
        answer: String,
    },
}

/// Reads a message, and answers it.
#[must_use]
pub fn message(text: &str, envelope: &Envelope<'_>) -> Read {
    match read(text) {
        Ok(Incoming::Request(request)) => Read::Request {
            id: request.id.text().to_owned(),
            method: request.method.clone(),
            arguments: request.params.arguments.map(|raw| raw.get().to_owned()),
            answer: answer(request.id, "{}"),
            modern: revision::spoken(&request, envelope).map(|spoken| spoken.era == Era::Modern),
        },
        Ok(Incoming::Notification) => Read::Notification,
        Ok(Incoming::Response) => Read::Response,
        Err((fault, id)) => Read::Refused {
            code: fault.code,
            id: id.map(|id| id.text().to_owned()),
            answer: refusal(id, &fault),
        },
    }
}

/// Reads the value of an `Mcp-Name` header.
#[must_use]
pub fn name(header: &str) -> Option<String> {
    revision::decode_name(header)
}
