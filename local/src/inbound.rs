//! What a request looks like to the guest, and the paths that the host answers itself.

use std::net::SocketAddr;

use anyhow::{Context as _, bail, ensure};
use http::header::HOST;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use serde::Serialize;

use crate::host::{Body, body};
use crate::manifest::Manifest;
use crate::routes::RouteMatch;

const WELL_KNOWN: &str = "/.well-known/spin/";

/// The answer to the paths that belong to the host; `None` for all others.
pub(crate) fn well_known(path: &str, manifest: &Manifest) -> Option<anyhow::Result<Response<Body>>> {
    Some(match path.strip_prefix(WELL_KNOWN)? {
        "health" => Ok(Response::new(body("OK"))),
        "info" => info(manifest),
        _ => Ok(empty(StatusCode::NOT_FOUND)),
    })
}

fn info(manifest: &Manifest) -> anyhow::Result<Response<Body>> {
    #[derive(Serialize)]
    struct Info<'a> {
        name: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        version: Option<&'a str>,
    }
    let info = Info {
        name: manifest.name(),
        version: manifest.version(),
    };
    let text = serde_json::to_vec_pretty(&info)?;
    Ok(Response::builder()
        .header(header::CONTENT_TYPE, "application/json")
        .body(body(text))?)
}

/// An answer without a body.
pub(crate) fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(body(""));
    *response.status_mut() = status;
    response
}

/// Gives the request's URI the scheme `http` and an authority.
///
/// # Errors
/// When neither the `Host` header nor the URI says the authority, or they disagree.
pub(crate) fn absolute(request: Request<Body>) -> anyhow::Result<Request<Body>> {
    let (mut parts, body) = request.into_parts();
    let host = parts
        .headers
        .get(HOST)
        .map(|value| {
            let text = value.to_str().context("'Host' header is not valid UTF-8")?;
            text.parse::<Authority>()
                .context("'Host' header contains an invalid authority")
        })
        .transpose()?;
    let mut uri = parts.uri.into_parts();
    let authority = match (host, uri.authority.take()) {
        (None, None) => bail!("no 'Host' header present in request"),
        (Some(host), Some(own)) => {
            ensure!(
                host == own,
                "authority in 'Host' header does not match authority in URI"
            );
            host
        }
        (Some(one), None) | (None, Some(one)) => one,
    };
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(authority);
    parts.uri = Uri::from_parts(uri).context("the request's URI is not a path")?;
    Ok(Request::from_parts(parts, body))
}

/// Appends the `spin-*` headers, after any that the client sent by the same names.
///
/// # Errors
/// When the request has a header that is not UTF-8.
pub(crate) fn describe(
    mut request: Request<Body>,
    found: &RouteMatch<'_>,
    client: SocketAddr,
) -> anyhow::Result<Request<Body>> {
    for (name, value) in request.headers() {
        ensure!(
            std::str::from_utf8(value.as_bytes()).is_ok(),
            "the header {name} is not UTF-8"
        );
    }
    let host = request
        .headers()
        .get(HOST)
        .map_or("localhost", |value| value.to_str().unwrap_or_default());
    let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let added = [
        ("spin-path-info", found.path_info.clone()),
        ("spin-full-url", format!("http://{host}{path_and_query}")),
        ("spin-matched-route", found.route.normalized()),
        ("spin-base-path", "/".to_owned()),
        ("spin-raw-component-route", found.route.pattern().to_owned()),
        ("spin-component-route", found.route.without_wildcard().to_owned()),
        ("spin-client-addr", client.to_string()),
    ];
    for (name, value) in added {
        // A path may hold bytes that no header value may: such a header is left out.
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            request.headers_mut().append(name, value);
        }
    }
    Ok(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::{Route, find};

    fn prepared(request: http::request::Builder, route: &str) -> anyhow::Result<Request<Body>> {
        let request = request.body(body("")).unwrap();
        let routes = [Route::parse(route, "c").unwrap()];
        let found = find(&routes, request.uri().path()).unwrap();
        describe(absolute(request)?, &found, "127.0.0.1:8777".parse().unwrap())
    }

    #[test]
    fn headers_come_after_the_clients_own() {
        let request = Request::get("/foo/bar?k=v")
            .header("host", "example.org:81")
            .header("spin-client-addr", "forged");
        let request = prepared(request, "/foo/...").unwrap();
        assert_eq!(request.uri(), "http://example.org:81/foo/bar?k=v");
        let headers = |name: &str| -> Vec<_> {
            request
                .headers()
                .get_all(name)
                .iter()
                .map(|v| v.to_str().unwrap().to_owned())
                .collect()
        };
        for (name, values) in [
            ("host", vec!["example.org:81"]),
            ("spin-path-info", vec!["/bar"]),
            ("spin-full-url", vec!["http://example.org:81/foo/bar?k=v"]),
            ("spin-matched-route", vec!["/foo/..."]),
            ("spin-base-path", vec!["/"]),
            ("spin-raw-component-route", vec!["/foo/..."]),
            ("spin-component-route", vec!["/foo"]),
            ("spin-client-addr", vec!["forged", "127.0.0.1:8777"]),
        ] {
            assert_eq!(headers(name), values, "{name}");
        }
    }

    #[test]
    fn the_authority_must_be_clear() {
        assert!(prepared(Request::get("/"), "/...").is_err());
        assert!(prepared(Request::get("/").header("host", "a b"), "/...").is_err());
        assert!(prepared(Request::get("http://a/").header("host", "b"), "/...").is_err());
        let request = prepared(Request::get("http://a/x"), "/...").unwrap();
        assert_eq!(request.uri(), "http://a/x");
        assert_eq!(request.headers().get("spin-full-url").unwrap(), "http://localhost/x");
    }
}
