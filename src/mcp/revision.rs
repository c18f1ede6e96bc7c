//! Determines the protocol revision and the lifecycle of each request.
//!
//! "Legacy" revisions begin with an `initialize` handshake. The "modern" revision has no handshake: each request carries an
//! envelope in `_meta` and in headers. The server is stateless and serves both on one endpoint. A request with the modern
//! `_meta` is served by the modern revision, any other by a legacy one (2026-07-28, versioning).

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    error::{Fault, INVALID_PARAMS},
    message::{Request, as_string},
};
use crate::json;

/// The revision without a handshake.
pub(super) const MODERN: &str = "2026-07-28";
/// The newest revision with a handshake. Offered when a client asks for an unsupported one.
pub(super) const LATEST_LEGACY: &str = "2025-11-25";
/// The only revision with batches. Also the default for requests without a version header.
pub(super) const BATCHES: &str = "2025-03-26";
/// The supported revisions with a handshake. The oldest one has another transport, but clients that ask for it here send
/// the same messages.
const LEGACY: [&str; 4] = [LATEST_LEGACY, "2025-06-18", BATCHES, "2024-11-05"];
/// The revisions that the server lists as supported.
pub const SUPPORTED: [&str; 4] = [MODERN, LATEST_LEGACY, "2025-06-18", BATCHES];

/// A required header is missing or differs from the body.
const HEADER_MISMATCH: i64 = -32020;
/// The requested revision is not supported.
const UNSUPPORTED_VERSION: i64 = -32022;

/// The headers of a request that MCP defines.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
}

/// The lifecycle of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lifecycle {
    /// With a handshake.
    Legacy,
    /// Without a handshake.
    Modern,
}

/// The lifecycle and the revision of a request. A request without a version header counts as [`BATCHES`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct RequestRevision {
    pub(crate) lifecycle: Lifecycle,
    version: &'static str,
}

impl RequestRevision {
    /// Whether the client knows content blocks of type `resource_link` (2025-06-18 and later).
    pub(super) fn knows_resource_links(self) -> bool {
        // Revisions are ISO dates, which sort as texts.
        self.version >= "2025-06-18"
    }

    /// A supported revision with a handshake; `None` for any other.
    fn legacy(version: &str) -> Option<Self> {
        let version = LEGACY.iter().find(|legacy| **legacy == version)?;
        Some(Self {
            lifecycle: Lifecycle::Legacy,
            version,
        })
    }
}

/// The revision to answer `initialize` with: the requested one if it has a handshake and is supported, else the newest.
pub(super) fn negotiate(requested: Option<&str>) -> &'static str {
    let served = requested.and_then(|requested| LEGACY.iter().find(|legacy| **legacy == requested));
    served.copied().unwrap_or(LATEST_LEGACY)
}

/// The members of the modern `_meta` that the server uses.
#[derive(Default, Deserialize)]
struct Meta<'a> {
    #[serde(borrow, default, rename = "io.modelcontextprotocol/protocolVersion")]
    version: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/clientCapabilities")]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default, rename = "io.modelcontextprotocol/logLevel")]
    log_level: Option<&'a RawValue>,
}

impl<'a> Meta<'a> {
    fn from_request(request: &Request<'a>) -> Self {
        // A `_meta` of another shape is ignored.
        request
            .params
            .meta
            .and_then(|raw| json::object(raw.get()).ok())
            .unwrap_or_default()
    }
}

/// Whether a request names a revision in its body, as only the modern one does.
pub(super) fn claims_revision(request: &Request<'_>) -> bool {
    Meta::from_request(request).version.is_some()
}

/// Determines the revision of a request and validates its envelope. The protocol defines the order of the checks.
///
/// # Errors
/// An error that is sent with HTTP status 400.
pub(crate) fn resolve(request: &Request<'_>, envelope: &Envelope<'_>) -> Result<RequestRevision, Fault> {
    let meta = Meta::from_request(request);
    let header = envelope.version.map(str::trim);
    let Some(claim) = meta.version else {
        let version = header.unwrap_or(BATCHES);
        return match RequestRevision::legacy(version) {
            Some(revision) => Ok(revision),
            None if version == MODERN => Err(missing("io.modelcontextprotocol/protocolVersion")),
            None => Err(unsupported(version)),
        };
    };
    let Some(claim) = as_string(claim) else {
        return Err(missing("io.modelcontextprotocol/protocolVersion"));
    };
    if !meta.capabilities.is_some_and(|raw| raw.get().starts_with('{')) {
        return Err(missing("io.modelcontextprotocol/clientCapabilities"));
    }
    if header != Some(claim.as_str()) {
        return Err(mismatch("MCP-Protocol-Version", &claim));
    }
    if let Some(revision) = RequestRevision::legacy(&claim) {
        return Ok(revision);
    }
    if claim != MODERN {
        return Err(unsupported(&claim));
    }
    check_headers(request, envelope)?;
    Ok(RequestRevision {
        lifecycle: Lifecycle::Modern,
        version: MODERN,
    })
}

/// `Mcp-Method` and `Mcp-Name` must match the body (2026-07-28, Streamable HTTP, standard request headers).
fn check_headers(request: &Request<'_>, envelope: &Envelope<'_>) -> Result<(), Fault> {
    if envelope.method.map(str::trim) != Some(request.method.as_str()) {
        return Err(mismatch("Mcp-Method", &request.method));
    }
    let named = match request.method.as_str() {
        "tools/call" | "prompts/get" => request.params.name,
        "resources/read" => request.params.uri,
        _ => None,
    };
    if let Some(name) = named.and_then(as_string)
        && envelope.name.and_then(|header| decode_name(header.trim())) != Some(name.clone())
    {
        return Err(mismatch("Mcp-Name", &name));
    }
    Ok(())
}

/// Decodes an `Mcp-Name` header: plain text, or `=?base64?…?=` around base64 of UTF-8. `None` when the base64 is invalid.
pub(crate) fn decode_name(header: &str) -> Option<String> {
    use base64ct::{Base64, Encoding as _};
    let Some(encoded) = header
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="))
    else {
        return Some(header.to_owned());
    };
    Base64::decode_vec(encoded)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
}

/// Validates the log level of a modern request. The server sends no log messages of any level.
///
/// # Errors
/// An error for an unknown level. The protocol does not define its HTTP status.
pub(super) fn check_log_level(request: &Request<'_>) -> Result<(), Fault> {
    const LEVELS: [&str; 8] = [
        "debug",
        "info",
        "notice",
        "warning",
        "error",
        "critical",
        "alert",
        "emergency",
    ];
    let level = Meta::from_request(request).log_level.map(as_string);
    if level.is_none_or(|level| level.is_some_and(|level| LEVELS.contains(&level.as_str()))) {
        return Ok(());
    }
    let text = format!(
        "_meta[\"io.modelcontextprotocol/logLevel\"] must be one of {}.",
        LEVELS.join(", ")
    );
    Err(Fault::new(INVALID_PARAMS, text))
}

fn missing(key: &str) -> Fault {
    Fault::new(
        INVALID_PARAMS,
        format!("params._meta[\"{key}\"] is missing or has the wrong type."),
    )
}

fn mismatch(header: &str, body: &str) -> Fault {
    let body: String = body.chars().take(100).collect();
    Fault::new(
        HEADER_MISMATCH,
        format!("The header {header} is missing or differs from the body's {body:?}."),
    )
}

fn unsupported(requested: &str) -> Fault {
    let data: Value = json!({ "supported": SUPPORTED, "requested": requested });
    Fault::new(UNSUPPORTED_VERSION, "This protocol version is not served.").with_data(data)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshakes_never_lead_to_the_revision_without_one() {
        for (requested, answered) in [
            (Some("2025-11-25"), "2025-11-25"),
            (Some("2025-06-18"), "2025-06-18"),
            (Some("2025-03-26"), "2025-03-26"),
            (Some("2024-11-05"), "2024-11-05"),
            (Some("2026-07-28"), "2025-11-25"),
            (Some("1.0"), "2025-11-25"),
            (None, "2025-11-25"),
        ] {
            assert_eq!(negotiate(requested), answered);
        }
    }

    #[test]
    fn names_are_decoded_strictly() {
        assert_eq!(decode_name("task_create").as_deref(), Some("task_create"));
        assert_eq!(
            decode_name("=?base64?dGFza19jcmVhdGU=?=").as_deref(),
            Some("task_create")
        );
        assert_eq!(decode_name("=?base64?dGFza19jcmVhdGU?="), None);
        assert_eq!(decode_name("=?base64?/w==?="), None);
        assert_eq!(
            decode_name("=?BASE64?dGFza19jcmVhdGU=?=").as_deref(),
            Some("=?BASE64?dGFza19jcmVhdGU=?=")
        );
    }
}
