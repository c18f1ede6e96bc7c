//! JSON-RPC messages as far as the bridge has to understand them: which kind one is, and the headers that HTTP wants
//! beside it. Whether a message is right in all its parts is the server's to say.

use base64ct::{Base64, Encoding as _};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

/// Not JSON (JSON-RPC 2.0 section 5.1).
pub(super) const PARSE_ERROR: i64 = -32700;
/// JSON, but no message.
pub(super) const INVALID_REQUEST: i64 = -32600;
/// The server behind the bridge could not be asked.
pub(super) const INTERNAL_ERROR: i64 = -32603;

/// The revision without a handshake; it wants headers that repeat parts of the message.
const MODERN: &str = "2026-07-28";

/// The kinds of messages.
#[derive(Debug)]
pub(super) enum Message {
    /// Wants an answer.
    Request(Request),
    /// Wants none.
    Notification(Notification),
    /// Answers a request of the server.
    Response,
    /// None of these. The server says what is wrong with it.
    Unknown,
}

/// A request.
#[derive(Debug)]
pub(super) struct Request {
    /// The JSON text of its id, which is echoed as it is.
    pub(super) id: String,
    pub(super) method: String,
    pub(super) params: Params,
}

/// A notification.
#[derive(Debug)]
pub(super) struct Notification {
    pub(super) method: String,
    pub(super) params: Params,
}

/// The members of `params` that the bridge reads.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Params {
    #[serde(default)]
    name: Option<Value>,
    #[serde(default)]
    uri: Option<Value>,
    /// The arguments of a tool.
    #[serde(default)]
    pub(super) arguments: Option<Value>,
    #[serde(default, rename = "requestId")]
    request_id: Option<Box<RawValue>>,
    #[serde(default, rename = "_meta")]
    meta: Option<Box<RawValue>>,
}

#[derive(Default, Deserialize)]
struct Meta {
    #[serde(default, rename = "progressToken")]
    progress_token: Option<Box<RawValue>>,
    #[serde(default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<Value>,
}

impl Params {
    fn of(raw: Option<&RawValue>) -> Self {
        // Params of another shape say nothing to the bridge.
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }

    fn meta(&self) -> Meta {
        let meta = self.meta.as_ref();
        meta.and_then(|raw| serde_json::from_str(raw.get()).ok())
            .unwrap_or_default()
    }

    /// The name of the tool.
    pub(super) fn tool(&self) -> Option<&str> {
        self.name.as_ref().and_then(Value::as_str)
    }

    /// The JSON text of the token under which the client wants to hear of the progress.
    pub(super) fn progress_token(&self) -> Option<String> {
        let token = self.meta().progress_token?;
        is_id(&token).then(|| token.get().to_owned())
    }

    /// The request that a `notifications/cancelled` is about, as [`key`] writes it.
    pub(super) fn cancelled(&self) -> Option<String> {
        self.request_id.as_ref().map(|id| key(id.get()))
    }

    /// The revision that the message itself claims, as only those without a handshake do.
    fn version(&self) -> Option<String> {
        let version = self.meta().version?;
        Some(version.as_str().unwrap_or_default().to_owned())
    }

    /// Whether the message speaks the lifecycle without a handshake.
    pub(super) fn is_modern(&self) -> bool {
        self.version().is_some_and(|version| version == MODERN)
    }

    /// `_meta` for a request on this one's behalf.
    pub(super) fn meta_for_another(&self) -> Option<Value> {
        let mut meta: Map<String, Value> = serde_json::from_str(self.meta.as_ref()?.get()).ok()?;
        // What comes of it goes to the client from here.
        meta.remove("progressToken");
        Some(meta.into())
    }
}

#[derive(Deserialize)]
struct Members<'a> {
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    result: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    error: Option<&'a RawValue>,
}

/// A member that is null is told from one that is absent.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Strings and integers.
fn is_id(raw: &RawValue) -> bool {
    let digits = raw.get().strip_prefix('-').unwrap_or(raw.get());
    raw.get().starts_with('"') || digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The text of an id in the one form that all its spellings share.
pub(super) fn key(id: &str) -> String {
    match serde_json::from_str::<String>(id) {
        Ok(text) => Value::from(text).to_string(),
        Err(_) => id.to_owned(),
    }
}

impl Message {
    /// Reads a message.
    pub(super) fn read(raw: &RawValue) -> Self {
        let Ok(members) = serde_json::from_str::<Members<'_>>(raw.get()) else {
            return Self::Unknown;
        };
        let method = members.method.map(|raw| serde_json::from_str::<String>(raw.get()));
        let params = Params::of(members.params);
        match (members.id, method) {
            (Some(id), Some(Ok(method))) if is_id(id) => Self::Request(Request {
                id: id.get().to_owned(),
                method,
                params,
            }),
            (None, Some(Ok(method))) => Self::Notification(Notification { method, params }),
            (_, None) if members.result.is_some() || members.error.is_some() => Self::Response,
            _ => Self::Unknown,
        }
    }

    /// Whether it has no place in a batch.
    pub(super) fn is_single(&self) -> bool {
        match self {
            Self::Request(request) => request.method == "initialize" || request.params.version().is_some(),
            Self::Notification(_) | Self::Response | Self::Unknown => false,
        }
    }
}

/// The headers that MCP over HTTP wants beside a message.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Envelope(pub(super) Vec<(&'static str, String)>);

impl Envelope {
    /// For a message of the lifecycle with a handshake, which agreed on a revision or has not happened.
    pub(super) fn legacy(version: Option<&str>) -> Self {
        Self(
            version
                .map(|version| ("mcp-protocol-version", version.to_owned()))
                .into_iter()
                .collect(),
        )
    }

    /// For a request that may say by itself what it speaks.
    pub(super) fn of(method: &str, params: &Params, version: Option<&str>) -> Self {
        let Some(claim) = params.version() else {
            // The handshake itself is spoken before there is a revision.
            return Self::legacy(version.filter(|_| method != "initialize"));
        };
        let named = match method {
            "tools/call" | "prompts/get" => params.name.as_ref(),
            "resources/read" => params.uri.as_ref(),
            _ => None,
        };
        let mut headers = vec![("mcp-protocol-version", claim), ("mcp-method", method.to_owned())];
        headers.extend(
            named
                .and_then(Value::as_str)
                .map(|name| ("mcp-name", header_value(name))),
        );
        Self(headers)
    }
}

/// A name as the value of a header: as it is, or in base64 where it would not arrive as it is.
fn header_value(name: &str) -> String {
    let is_plain =
        name.bytes().all(|byte| matches!(byte, b' '..=b'~')) && name.trim() == name && !name.starts_with("=?base64?");
    if is_plain {
        return name.to_owned();
    }
    format!("=?base64?{}?=", Base64::encode_string(name.as_bytes()))
}

/// The JSON text of an error. The id is JSON text too.
pub(super) fn error(id: &str, code: i64, message: &str, data: Option<Value>) -> String {
    let mut error = json!({ "code": code, "message": message });
    if let (Some(data), Some(error)) = (data, error.as_object_mut()) {
        error.insert("data".to_owned(), data);
    }
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
}

/// The JSON text of an answer.
pub(super) fn answer(id: &str, result: &Value) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{result}}}"#)
}

/// An answer of the server in parts.
#[derive(Deserialize)]
pub(super) struct Answer {
    /// Of a request that went well.
    #[serde(default)]
    pub(super) result: Option<Map<String, Value>>,
}

/// The same answer with an id, null where the server could not read one: JSON-RPC wants the member.
pub(super) fn with_id(answer: String) -> String {
    #[derive(Deserialize)]
    struct Id<'a> {
        #[serde(borrow, default, deserialize_with = "present")]
        id: Option<&'a RawValue>,
    }
    let trimmed = answer.trim_start();
    match (serde_json::from_str::<Id<'_>>(&answer), trimmed.strip_prefix('{')) {
        (Ok(Id { id: None }), Some(rest)) => format!(r#"{{"id":null,{rest}"#),
        _ => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(text: &str) -> String {
        let raw: &RawValue = serde_json::from_str(text).unwrap();
        match Message::read(raw) {
            Message::Request(request) => format!("request {} {}", request.id, request.method),
            Message::Notification(notification) => format!("notification {}", notification.method),
            Message::Response => "response".to_owned(),
            Message::Unknown => "unknown".to_owned(),
        }
    }

    #[test]
    fn messages_are_told_apart() {
        for (text, expected) in [
            (r#"{"jsonrpc":"2.0","id":0,"method":"ping"}"#, "request 0 ping"),
            (
                r#"{"jsonrpc":"2.0","id":123456789012345678901234567890,"method":"ping"}"#,
                "request 123456789012345678901234567890 ping",
            ),
            (
                r#"{"jsonrpc":"2.0","id":"a","method":"ping","params":[]}"#,
                "request \"a\" ping",
            ),
            (r#"{"jsonrpc":"2.0","method":"x"}"#, "notification x"),
            (r#"{"jsonrpc":"2.0","id":1,"result":null}"#, "response"),
            (r#"{"jsonrpc":"2.0","id":null,"method":"x"}"#, "unknown"),
            (r#"{"jsonrpc":"2.0","id":1.5,"method":"x"}"#, "unknown"),
            (r#"{"jsonrpc":"2.0","id":1,"method":7}"#, "unknown"),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"x"}"#, "unknown"),
            ("7", "unknown"),
        ] {
            assert_eq!(kind(text), expected, "{text}");
        }
    }

    #[test]
    fn headers_repeat_what_the_message_says() {
        let modern = |name: &str| {
            let meta = json!({ "io.modelcontextprotocol/protocolVersion": "2026-07-28" });
            let params = json!({ "_meta": meta, "name": name, "uri": "u:x" });
            serde_json::from_value::<Params>(params).unwrap()
        };
        let headers = |method: &str, params: &Params| {
            let envelope = Envelope::of(method, params, Some("2025-06-18"));
            let headers = envelope.0.iter().map(|(name, value)| format!("{name}={value}"));
            headers.collect::<Vec<_>>().join(" ")
        };
        let none = Params::default();
        assert_eq!(headers("initialize", &none), "");
        assert_eq!(headers("ping", &none), "mcp-protocol-version=2025-06-18");
        let common = "mcp-protocol-version=2026-07-28 mcp-method";
        assert_eq!(headers("tools/list", &modern("n")), format!("{common}=tools/list"));
        assert_eq!(
            headers("tools/call", &modern("n")),
            format!("{common}=tools/call mcp-name=n")
        );
        assert_eq!(
            headers("resources/read", &modern("n")),
            format!("{common}=resources/read mcp-name=u:x")
        );
        for (name, encoded) in [
            ("é", "=?base64?w6k=?="),
            (" a", "=?base64?IGE=?="),
            ("a\n", "=?base64?YQo=?="),
            ("=?base64?YQ==?=", "=?base64?PT9iYXNlNjQ/WVE9PT89?="),
        ] {
            assert_eq!(header_value(name), encoded);
        }
    }

    #[test]
    fn an_id_has_one_key_for_all_its_spellings() {
        assert_eq!(key(r#""a""#), key(r#""\u0061""#));
        assert_ne!(key("7"), key("\"7\""));
    }

    #[test]
    fn an_answer_always_has_an_id() {
        assert_eq!(
            with_id(r#"{"jsonrpc":"2.0"}"#.to_owned()),
            r#"{"id":null,"jsonrpc":"2.0"}"#
        );
        let whole = r#"{"jsonrpc":"2.0","id":null}"#;
        assert_eq!(with_id(whole.to_owned()), whole);
    }
}
