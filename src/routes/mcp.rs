//! `POST /mcp`: MCP over Streamable HTTP with plain JSON answers.

use http::{HeaderMap, HeaderName, StatusCode, header};

use super::{answer, expect_json, quality, read_body};
use crate::{
    error::Error,
    host::Request,
    mcp::{self, Envelope, Reply},
    render::{self, Response},
    tools::Context,
};

const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const NAME: HeaderName = HeaderName::from_static("mcp-name");

/// Serves one posted body.
///
/// # Errors
/// Those of the headers and of reading the body, and of a missing key.
pub async fn post(request: Request, context: &Context) -> Result<Response, Error> {
    expect_json(request.headers())?;
    if !accepts_json(request.headers()) {
        return Err(Error::NotAcceptable);
    }
    let (head, body) = request.into_parts();
    let headers = head.headers;
    let body = read_body(&headers, body, context.access.max_body_bytes).await?;
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let envelope = Envelope {
        version: text(&PROTOCOL_VERSION),
        method: text(&METHOD),
        name: text(&NAME),
    };
    Ok(match mcp::handle(&body, &envelope, context).await {
        Reply::Accepted => render::empty(StatusCode::ACCEPTED),
        Reply::Answer(json) => answer(&context.request, json),
        Reply::Refused(json) => render::json(StatusCode::BAD_REQUEST, json),
        Reply::UnknownMethod(json) => render::json(StatusCode::NOT_FOUND, json),
        Reply::KeyMissing(error) => return Err(error),
    })
}

/// Whether the client accepts JSON. MCP clients must accept both JSON and event streams, but many do not send both, so
/// only a header that excludes JSON is refused (RFC 9110 section 12.5.1).
fn accepts_json(headers: &HeaderMap) -> bool {
    let mut ranges = headers
        .get_all(header::ACCEPT)
        .iter()
        .flat_map(|value| str::from_utf8(value.as_bytes()).unwrap_or_default().split(','));
    let mut named = false;
    let fits = ranges.any(|range| {
        let mut parts = range.split(';');
        let range = parts.next().unwrap_or_default().trim();
        named |= !range.is_empty();
        let covers = ["application/json", "application/*", "*/*"];
        covers.iter().any(|cover| range.eq_ignore_ascii_case(cover)) && quality(parts) > 0
    });
    fits || !named
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn only_an_accept_header_that_rules_json_out_is_refused() {
        for (accept, accepted) in [
            ("application/json, text/event-stream", true),
            ("text/event-stream, application/json", true),
            ("application/json", true),
            ("Application/JSON;q=0.5", true),
            ("*/*", true),
            ("application/*", true),
            ("", true),
            ("text/event-stream", false),
            ("text/html", false),
            ("application/json;q=0", false),
            ("text/html;version=ä", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(
                header::ACCEPT,
                HeaderValue::from_bytes(accept.as_bytes()).expect("valid"),
            );
            assert_eq!(accepts_json(&headers), accepted, "{accept:?}");
        }
        assert!(accepts_json(&HeaderMap::new()));
    }
}
