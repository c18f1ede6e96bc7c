//! Reads JSON-RPC 2.0 messages in the form that MCP allows, and writes the answers.
//!
//! Values are kept as JSON text until they are used, so that an id is returned exactly as it was sent: `7` is not `"7"`, and
//! numbers beyond 2^53 keep their digits.

use serde::{Deserialize, Deserializer, de::IgnoredAny};
use serde_json::value::RawValue;

use super::error::{Fault, INVALID_REQUEST, PARSE_ERROR};
use crate::json;

/// The message of [`PARSE_ERROR`].
pub(super) const NOT_JSON: &str = "The body is not JSON.";

/// The id of a request: a string or an integer, kept as its JSON text.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Id<'a>(pub(crate) &'a RawValue);

impl<'a> Id<'a> {
    /// `None` for null, booleans, objects, arrays and fractions, which MCP does not allow as an id.
    fn new(raw: &'a RawValue) -> Option<Self> {
        let text = raw.get();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let valid = text.starts_with('"') || digits.bytes().all(|b| b.is_ascii_digit());
        valid.then_some(Self(raw))
    }
}

/// A message from a client.
#[derive(Debug)]
pub(crate) enum Incoming<'a> {
    /// A request, which is answered.
    Request(Request<'a>),
    /// A notification, which is not answered.
    Notification,
    /// An answer to a request of the server. The server sends no requests, so it is ignored.
    Response,
}

/// A request.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) id: Id<'a>,
    pub(crate) method: String,
    pub(crate) params: Params<'a>,
}

/// The members of `params` that any method uses, as JSON text. Other members are ignored.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params<'a> {
    #[serde(borrow, default, rename = "_meta")]
    pub(super) meta: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) name: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) uri: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(crate) arguments: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) cursor: Option<&'a RawValue>,
    #[serde(borrow, default)]
    pub(super) protocol_version: Option<&'a RawValue>,
}

/// The value as a string; `None` for any other type.
pub(super) fn as_string(raw: &RawValue) -> Option<String> {
    serde_json::from_str(raw.get()).ok()
}

/// The members of a message. A null member is `Some`, an absent one `None`.
#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    method: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Reads one message.
///
/// # Errors
/// The error to answer with, and the id of the request if it could be read.
pub(crate) fn read_message(text: &str) -> Result<Incoming<'_>, (Fault, Option<Id<'_>>)> {
    let Ok(members) = json::object::<Members<'_>>(text) else {
        let fault = if serde_json::from_str::<IgnoredAny>(text).is_ok() {
            Fault::new(
                INVALID_REQUEST,
                "A message is one JSON object with members that occur once.",
            )
        } else {
            Fault::new(PARSE_ERROR, NOT_JSON)
        };
        return Err((fault, None));
    };
    let id = members.id.map(Id::new);
    let refuse = |message: &str| Err((Fault::new(INVALID_REQUEST, message), id.flatten()));
    if members.jsonrpc.and_then(as_string).as_deref() != Some("2.0") {
        return refuse("The member jsonrpc must be the string \"2.0\".");
    }
    let Some(method) = members.method else {
        if members.result.is_some() || members.error.is_some() {
            return Ok(Incoming::Response);
        }
        return refuse("The member method is missing.");
    };
    let Some(method) = as_string(method) else {
        return refuse("The member method must be a string.");
    };
    let params = match members.params {
        None => Params::default(),
        Some(raw) => match json::object(raw.get()) {
            Ok(params) => params,
            Err(_) if raw.get().starts_with('{') => return refuse("The members of params must occur once."),
            Err(_) => return refuse("The member params must be an object."),
        },
    };
    match id {
        None => Ok(Incoming::Notification),
        Some(None) => refuse("The member id must be a string or an integer."),
        Some(Some(id)) => Ok(Incoming::Request(Request { id, method, params })),
    }
}

/// The JSON text of a successful answer. `result` is the JSON text of its result.
pub(crate) fn answer(id: Id<'_>, result: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{},"result":{result}}}"#, id.0)
}

/// The JSON text of an error answer. It has no id when that of the request could not be read.
pub(crate) fn refusal(id: Option<Id<'_>>, fault: &Fault) -> String {
    let error = crate::json::text(fault);
    match id {
        Some(id) => format!(r#"{{"jsonrpc":"2.0","id":{},"error":{error}}}"#, id.0),
        None => format!(r#"{{"jsonrpc":"2.0","error":{error}}}"#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_of(message: &str) -> String {
        match read_message(message) {
            Ok(Incoming::Request(request)) => request.id.0.get().to_owned(),
            Ok(Incoming::Notification) => "notification".to_owned(),
            Ok(Incoming::Response) => "response".to_owned(),
            Err((fault, id)) => format!("{} {}", fault.code, id.map_or("-", |id| id.0.get())),
        }
    }

    #[test]
    fn ids_keep_their_json_text() {
        for id in [
            "0",
            "\"7\"",
            "7",
            "-1",
            "123456789012345678901234567890",
            "\"\"",
            "\"a\\u0000b\"",
        ] {
            assert_eq!(id_of(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)), id);
        }
        for id in ["null", "true", "1.5", "1e3", "{}", "[]"] {
            assert_eq!(
                id_of(&format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"ping"}}"#)),
                "-32600 -"
            );
        }
    }

    #[test]
    fn messages_are_told_apart() {
        assert_eq!(
            id_of(r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#),
            "notification"
        );
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1,"result":null}"#), "response");
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1,"error":{}}"#), "response");
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1}"#), "-32600 1");
        assert_eq!(id_of(r#"{"jsonrpc":"1.0","id":1,"method":"ping"}"#), "-32600 1");
        assert_eq!(id_of(r#"{"id":1,"method":"ping"}"#), "-32600 1");
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1,"method":7}"#), "-32600 1");
        assert_eq!(
            id_of(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":[]}"#),
            "-32600 1"
        );
        assert_eq!(
            id_of(r#"{"jsonrpc":"2.0","id":1,"method":"ping","params":null}"#),
            "-32600 1"
        );
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"ping"}"#), "-32600 -");
        assert_eq!(id_of("7"), "-32600 -");
        assert_eq!(id_of(r#"["2.0",1,"ping"]"#), "-32600 -");
        assert_eq!(id_of(r#"{"jsonrpc":"2.0","id":1,"method":"ping""#), "-32700 -");
        assert_eq!(id_of(r#"{"id":1,"id":2,}"#), "-32700 -");
    }
}
