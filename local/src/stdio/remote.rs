//! A server elsewhere, over HTTP or HTTPS. The key goes to its origin alone.

use std::error::Error as StdError;

use anyhow::{Context as _, Result, bail, ensure};
use bytes::Bytes;
use http::header::{HOST, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use http_body_util::BodyExt as _;
use url::{Origin, Url};

use super::upstream::{Failure, Stream, request};
use crate::https::{self, HttpsClient};

/// Redirects that are followed, one after the other.
const REDIRECTS: usize = 3;

/// The server, and the key for it.
pub(super) struct Remote {
    http: HttpsClient,
    url: Url,
    key: Option<HeaderValue>,
}

/// What became of a request, and whether its connection was lost.
type Lost = (Failure, bool);

impl Remote {
    /// A server at an address such as `https://example.org/mcp`; the end of the address may be missing.
    ///
    /// # Errors
    /// When address or key cannot be one.
    pub(super) fn new(url: &str, key: Option<&str>) -> Result<Self> {
        let url = endpoint(url)?;
        let key = key.map(str::trim).filter(|key| !key.is_empty());
        let key = key.map(|key| HeaderValue::try_from(format!("Bearer {key}")));
        let mut key = key.transpose().ok().context(
            "PLANEXE_MCP_API_KEY holds characters that no key has: copy it again, without quotes or line breaks",
        )?;
        if let Some(key) = &mut key {
            key.set_sensitive(true);
        }
        if key.is_some() && url.scheme() == "http" && !is_loopback(&url) {
            super::note("the address is plain http: whoever is on the way can read PLANEXE_MCP_API_KEY");
        }
        let http = https::client()?;
        Ok(Self { http, url, key })
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        self.url.authority()
    }

    pub(super) fn has_key(&self) -> bool {
        self.key.is_some()
    }

    pub(super) async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Response<Stream>, Lost> {
        self.send(&Method::POST, self.url.clone(), &headers, &body).await
    }

    /// Asks for a file, whose address may be relative to the server's.
    pub(super) async fn get(&self, url: &str) -> Result<Response<Stream>, Lost> {
        let broken = || Failure::new("DOWNLOAD_FAILED", "The server gave a broken address for the file.");
        let url = self.url.join(url).map_err(|_| (broken(), false))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err((broken(), false));
        }
        self.send(&Method::GET, url, &HeaderMap::new(), &Bytes::new()).await
    }

    async fn send(
        &self,
        method: &Method,
        mut url: Url,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<Stream>, Lost> {
        for _ in 0..=REDIRECTS {
            let response = self.send_once(method, &url, headers, body).await?;
            if !response.status().is_redirection() {
                return Ok(response.map(|body| body.map_err(|error| error.to_string()).boxed_unsync()));
            }
            let target = response.headers().get(LOCATION).and_then(|target| target.to_str().ok());
            let target = target.and_then(|target| url.join(target).ok());
            let keeps_method = matches!(
                response.status(),
                StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
            );
            match target {
                Some(target) if target.origin() == url.origin() && (keeps_method || *method == Method::GET) => {
                    url = target;
                }
                target => return Err((redirected(&url, target.as_ref()), false)),
            }
        }
        let text = format!("{} redirects in a circle: check the address.", url.authority());
        Err((Failure::new("SERVER_REDIRECTS", text), false))
    }

    async fn send_once(
        &self,
        method: &Method,
        url: &Url,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<Response<hyper::body::Incoming>, Lost> {
        let uri = url.as_str().parse().map_err(|_| {
            let text = format!("{url} is no address that can be asked.");
            (Failure::new("SERVER_UNREACHABLE", text), false)
        })?;
        let mut headers = headers.clone();
        headers.remove(HOST);
        if let Some(key) = self.key_for(&url.origin()) {
            headers.insert(HeaderName::from_static("authorization"), key.clone());
        }
        let sent = self.http.request(request(method.clone(), uri, headers, body.clone()));
        sent.await.map_err(|error| explain(url, &error))
    }

    fn key_for(&self, origin: &Origin) -> Option<&HeaderValue> {
        self.key.as_ref().filter(|_| *origin == self.url.origin())
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// The address that messages are posted to.
fn endpoint(text: &str) -> Result<Url> {
    let text = text.trim();
    let advice = "give one such as https://example.org/mcp";
    let mut url = Url::parse(text).with_context(|| format!("{text:?} is no address of a server: {advice}"))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        bail!("{text:?} is no address of a server: {advice}");
    }
    ensure!(
        url.username().is_empty() && url.password().is_none(),
        "the address holds a user or a password: give the key in PLANEXE_MCP_API_KEY instead"
    );
    url.set_query(None);
    url.set_fragment(None);
    let mut path = url.path().trim_end_matches('/').to_owned();
    // The forms that PlanExe's own proxy takes.
    for end in ["/tools/call", "/tools"] {
        path = path.strip_suffix(end).unwrap_or(&path).to_owned();
    }
    if !path.ends_with("/mcp") {
        path.push_str("/mcp");
    }
    url.set_path(&path);
    Ok(url)
}

fn redirected(url: &Url, target: Option<&Url>) -> Failure {
    let text = match target {
        Some(target) if target.origin() != url.origin() => format!(
            "{} sends its callers on to another server, {}. The key does not go there: if that is the right one, give \
             its address.",
            url.authority(),
            target.authority()
        ),
        Some(target) => format!("The address has moved to {target}: give that one."),
        None => format!("{} redirects to nowhere: check the address.", url.authority()),
    };
    Failure::new("SERVER_REDIRECTS", text)
}

/// Why a request has no answer. Connections that were never made, or made and lost, can be tried once more.
fn explain(url: &Url, error: &hyper_util::client::legacy::Error) -> Lost {
    let place = url.authority();
    let tls = causes_of(error).find_map(tls_error);
    if let Some(tls) = tls {
        let text = format!(
            "No secure connection to {place} can be made ({tls}). Check the address: the port must speak https, and the \
             certificate must be for this name, valid, and from a public authority."
        );
        return (Failure::new("TLS_FAILED", text), false);
    }
    if error.is_connect() {
        let last = causes_of(error).last();
        let last = last.map_or_else(String::new, |cause| format!(" ({cause})"));
        let text = format!("No server answers at {place}{last}. Is it running, and is the address right?");
        return (Failure::new("SERVER_UNREACHABLE", text), true);
    }
    let text = format!("The connection to {place} broke before the answer. Try again.");
    (Failure::new("SERVER_UNREACHABLE", text), true)
}

/// The error of TLS in a cause, however often it is wrapped.
fn tls_error<'a>(cause: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    cause.downcast_ref().or_else(|| {
        let inner = cause.downcast_ref::<std::io::Error>()?.get_ref()?;
        tls_error(inner)
    })
}

/// The causes of an error, the nearest first.
fn causes_of(error: &dyn StdError) -> impl Iterator<Item = &(dyn StdError + 'static)> {
    let mut next = error.source();
    std::iter::from_fn(move || {
        let cause = next?;
        next = cause.source();
        Some(cause)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_completed() {
        for (text, expected) in [
            ("https://example.org", "https://example.org/mcp"),
            ("https://example.org/", "https://example.org/mcp"),
            (" http://127.0.0.1:8001/mcp/ ", "http://127.0.0.1:8001/mcp"),
            ("https://example.org/mcp/tools/call", "https://example.org/mcp"),
            ("https://example.org/mcp/tools", "https://example.org/mcp"),
            ("https://example.org/planexe?x=1#y", "https://example.org/planexe/mcp"),
        ] {
            assert_eq!(endpoint(text).unwrap().as_str(), expected);
        }
        for text in [
            "",
            "example.org",
            "localhost:3000",
            "ftp://example.org",
            "https://u:p@example.org/mcp",
        ] {
            assert!(endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_key_goes_to_its_own_origin_alone() {
        let remote = Remote::new("https://example.org/mcp", Some(" k ")).unwrap();
        for (url, expected) in [
            ("https://example.org/download/x", true),
            ("https://example.org:443/", true),
            ("https://example.org:8443/", false),
            ("http://example.org/", false),
            ("https://cdn.example.org/", false),
        ] {
            assert_eq!(
                remote.key_for(&Url::parse(url).unwrap().origin()).is_some(),
                expected,
                "{url}"
            );
        }
        assert!(Remote::new("https://example.org/mcp", Some("a\nb")).is_err());
        assert!(!Remote::new("https://example.org/mcp", Some(" ")).unwrap().has_key());
    }
}
