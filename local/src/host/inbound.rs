//! What a request looks like to the component, and the paths that the host answers itself.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use http::{
    HeaderValue, Request, Response, StatusCode, Uri,
    header::{CONTENT_TYPE, HOST},
    uri::{Authority, Scheme},
};
use serde_json::json;

use super::{Body, manifest::Manifest, response};

/// The answer to the paths that belong to the host; `None` for all others.
pub(super) fn well_known(path: &str, manifest: &Manifest) -> Option<Response<Body>> {
    Some(match path.strip_prefix("/.well-known/spin/")? {
        "health" => response(StatusCode::OK, "OK"),
        "info" => {
            let info = match &manifest.version {
                Some(version) => json!({ "name": manifest.name, "version": version }),
                None => json!({ "name": manifest.name }),
            };
            let mut response = response(StatusCode::OK, format!("{info:#}"));
            let json = HeaderValue::from_static("application/json");
            response.headers_mut().insert(CONTENT_TYPE, json);
            response
        }
        _ => response(StatusCode::NOT_FOUND, ""),
    })
}

/// Gives the request's URI the scheme `http` and an authority.
///
/// # Errors
/// When neither the `Host` header nor the URI says the authority, or they disagree.
pub(super) fn absolute(mut request: Request<Body>) -> Result<Request<Body>> {
    let mut uri = request.uri().clone().into_parts();
    if let Some(host) = request.headers().get(HOST) {
        let host = host.to_str()?.parse::<Authority>()?;
        ensure!(
            uri.authority.is_none_or(|own| own == host),
            "authority in 'Host' header does not match authority in URI"
        );
        uri.authority = Some(host);
    }
    ensure!(uri.authority.is_some(), "no 'Host' header present in request");
    uri.scheme = Some(Scheme::HTTP);
    *request.uri_mut() = Uri::from_parts(uri)?;
    Ok(request)
}

/// Appends the `spin-*` headers of the route `/...`, after any that the client sent by the same names.
///
/// # Errors
/// When the request has a header that is not UTF-8.
pub(super) fn describe(request: &mut Request<Body>, client: SocketAddr) -> Result<()> {
    for (name, value) in request.headers() {
        std::str::from_utf8(value.as_bytes()).with_context(|| format!("the header {name}"))?;
    }
    let added = [
        ("spin-path-info", request.uri().path().to_owned()),
        ("spin-full-url", request.uri().to_string()),
        ("spin-matched-route", "/...".to_owned()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", "/...".to_owned()),
        ("spin-component-route", String::new()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in added {
        // A path may hold bytes that no header value may: such a header is left out.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            request.headers_mut().append(name, value);
        }
    }
    Ok(())
}
