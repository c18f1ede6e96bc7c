//! What a request looks like to the component, and the paths that the host answers itself.

use std::net::SocketAddr;

use anyhow::{Context as _, Result, bail, ensure};
use http::header::{CONTENT_TYPE, HOST};
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use serde_json::json;

use super::manifest::Manifest;
use super::{Body, response};

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
    let host = request
        .headers()
        .get(HOST)
        .map(|value| value.to_str().map(str::parse::<Authority>));
    let host = host
        .transpose()
        .context("'Host' header is not valid UTF-8")?
        .transpose();
    let authority = match (
        host.context("'Host' header contains an invalid authority")?,
        uri.authority.take(),
    ) {
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
    *request.uri_mut() = Uri::from_parts(uri).context("the request's URI is not a path")?;
    Ok(request)
}

/// Appends the `spin-*` headers of the route `/...`, after any that the client sent by the same names.
///
/// # Errors
/// When the request has a header that is not UTF-8.
pub(super) fn describe(request: &mut Request<Body>, client: SocketAddr) -> Result<()> {
    for (name, value) in request.headers() {
        ensure!(
            std::str::from_utf8(value.as_bytes()).is_ok(),
            "the header {name} is not UTF-8"
        );
    }
    let host = request
        .headers()
        .get(HOST)
        .map_or(&b"localhost"[..], HeaderValue::as_bytes);
    let path_and_query = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let added = [
        ("spin-path-info", request.uri().path().to_owned()),
        (
            "spin-full-url",
            format!("http://{}{path_and_query}", String::from_utf8_lossy(host)),
        ),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(request: http::request::Builder) -> Result<Request<Body>> {
        let mut request = absolute(request.body(response(StatusCode::OK, "").into_body()).unwrap())?;
        describe(&mut request, "127.0.0.1:8777".parse().unwrap())?;
        Ok(request)
    }

    #[test]
    fn headers_come_after_the_clients_own() {
        let request = Request::get("/foo/bar?k=v")
            .header("host", "example.org:81")
            .header("spin-client-addr", "forged");
        let request = prepared(request).unwrap();
        assert_eq!(request.uri(), "http://example.org:81/foo/bar?k=v");
        for (name, expected) in [
            ("host", &["example.org:81"][..]),
            ("spin-path-info", &["/foo/bar"]),
            ("spin-full-url", &["http://example.org:81/foo/bar?k=v"]),
            ("spin-matched-route", &["/..."]),
            ("spin-component-route", &[""]),
            ("spin-client-addr", &["forged", "127.0.0.1:8777"]),
        ] {
            let values: Vec<_> = request.headers().get_all(name).iter().collect();
            assert_eq!(values, expected, "{name}");
        }
    }

    #[test]
    fn the_authority_must_be_clear() {
        assert!(prepared(Request::get("/")).is_err());
        assert!(prepared(Request::get("/").header("host", "a b")).is_err());
        assert!(prepared(Request::get("http://a/").header("host", "b")).is_err());
        assert_eq!(prepared(Request::get("http://a/x")).unwrap().uri(), "http://a/x");
    }
}
