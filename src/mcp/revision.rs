//! The protocol's revisions and the choice between its two lifecycles, message by message.
//!
//! "Legacy" revisions begin with an `initialize` handshake; the "modern" one has none and carries its envelope in
//! each request. The server is stateless and serves both on one endpoint (2026-07-28, versioning: a request that
//! carries the modern `_meta` is served by that revision, all else by the handshake's).

use serde::Deserialize;
use serde_json::{Value, json, value::RawValue};

use super::{
    error::{Fault, INVALID_PARAMS},
    frame::{Request, as_string},
};
use crate::json;

/// The revision without a handshake.
pub(super) const MODERN: &str = "2026-07-28";
/// The newest revision with a handshake: offered when a client asks for one that is not served.
pub(super) const LATEST_LEGACY: &str = "2025-11-25";
/// The only revision with batches, and the one that a request without a version header speaks.
pub(super) const BATCHES: &str = "2025-03-26";
/// The revisions with a handshake that are served. The oldest was made for another transport, but clients that name
/// it here exchange the same messages.
const LEGACY: [&str; 4] = [LATEST_LEGACY, "2025-06-18", BATCHES, "2024-11-05"];
/// What is announced as served.
pub const SUPPORTED: [&str; 4] = [MODERN, LATEST_LEGACY, "2025-06-18", BATCHES];

/// A header that the request needs is missing or says something else than the body.
const HEADER_MISMATCH: i64 = -32020;
/// Header and body agree on a revision that is not served.
const UNSUPPORTED_VERSION: i64 = -32022;

/// The headers of a request that MCP gives a meaning to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Envelope<'a> {
    /// `MCP-Protocol-Version`.
    pub version: Option<&'a str>,
    /// `Mcp-Method`.
    pub method: Option<&'a str>,
    /// `Mcp-Name`.
    pub name: Option<&'a str>,
}

/// The lifecycle that a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Era {
    /// With a handshake.
    Legacy,
    /// Without.
    Modern,
}

/// The lifecycle and, as far as the request tells, the revision of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spoken {
    pub(crate) era: Era,
    revision: &'static str,
}

impl Spoken {
    /// Whether the client knows content blocks of type `resource_link` (2025-06-18 and later).
    pub(super) fn knows_resource_links(self) -> bool {
        // Revisions are dates: their order is that of their texts.
        self.revision >= "2025-06-18"
    }

    /// A revision with a handshake, `None` when it is not one that is served.
    fn legacy(version: &str) -> Option<Self> {
        let revision = LEGACY.iter().find(|legacy| **legacy == version)?;
        Some(Self {
            era: Era::Legacy,
            revision,
        })
    }
}

/// The revision that answers an `initialize`: the asked one when it has a handshake and is served, else the newest.
pub(super) fn negotiate(requested: Option<&str>) -> &'static str {
    let served = requested.and_then(|requested| LEGACY.iter().find(|legacy| **legacy == requested));
    served.copied().unwrap_or(LATEST_LEGACY)
}

/// Members of the modern `_meta` that the server reads.
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
    fn of(request: &Request<'a>) -> Self {
        // A `_meta` of another shape claims nothing.
        request
            .params
            .meta
            .and_then(|raw| json::object(raw.get()).ok())
            .unwrap_or_default()
    }
}

/// Whether a message claims a revision in its body, as only modern ones do.
pub(super) fn claims_revision(request: &Request<'_>) -> bool {
    Meta::of(request).version.is_some()
}

/// Decides what a request speaks and checks its envelope. The order of the checks is part of the protocol.
///
/// # Errors
/// A fault that goes with HTTP status 400.
pub(crate) fn spoken(request: &Request<'_>, envelope: &Envelope<'_>) -> Result<Spoken, Fault> {
    let meta = Meta::of(request);
    let header = envelope.version.map(str::trim);
    let Some(claim) = meta.version else {
        let version = header.unwrap_or(BATCHES);
        return match Spoken::legacy(version) {
            Some(spoken) => Ok(spoken),
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
    if let Some(spoken) = Spoken::legacy(&claim) {
        return Ok(spoken);
    }
    if claim != MODERN {
        return Err(unsupported(&claim));
    }
    check_headers(request, envelope)?;
    Ok(Spoken {
        era: Era::Modern,
        revision: MODERN,
    })
}

/// `Mcp-Method` and `Mcp-Name` must say what the body says (2026-07-28, Streamable HTTP, standard request headers).
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

/// A header value is plain, or `=?base64?…?=` around base64 of UTF-8. `None` when the base64 is broken.
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

/// The log level that a modern request may ask for must be one that exists. We send no log messages of any level.
///
/// # Errors
/// A fault whose HTTP status the protocol leaves open.
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
    let level = Meta::of(request).log_level.map(as_string);
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
