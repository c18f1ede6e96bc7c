//! What the component reaches: the servers that its manifest allows, and HTTP requests to them.

use std::{fmt, sync::Arc};

use http::{HeaderName, Request, Response, Uri, header::HOST};
use http_body_util::BodyExt;
use wasmtime_wasi_http::{
    DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiHttpHooks, default_send_request,
};

use super::{
    Body,
    component::Component,
    variables::{Template, Variables},
};

/// Scheme, host and port of a server.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    scheme: String,
    /// In lower case; an IPv6 address in brackets.
    host: String,
    port: u16,
}

impl Server {
    /// The servers of `allowed_outbound_hosts`.
    ///
    /// # Errors
    /// When any variable of the application has no value, or an entry is not `scheme://host[:port]`.
    pub(super) fn allowed(entries: &[Template], variables: &Variables) -> Result<Vec<Self>, String> {
        // Spin resolves all variables first, also those that no entry names.
        for name in variables.defaults.keys() {
            variables.value(name)?;
        }
        let server = |entry| {
            let text = variables.fill(entry)?;
            let is_server = |uri: &Uri| uri.path() == "/" && uri.query().is_none() && !text.contains('*');
            let uri = text.parse().ok().filter(is_server);
            let server = uri.and_then(|uri| Self::of(&uri));
            server.ok_or_else(|| format!("{text:?} is not scheme://host:port, which is all that the local host knows"))
        };
        entries.iter().map(server).collect()
    }

    /// The server of a URI.
    pub(super) fn of(uri: &Uri) -> Option<Self> {
        Self::new(uri.scheme_str()?, uri.host()?, uri.port_u16())
    }

    /// Without a port, it is the scheme's; `None` when the scheme has none.
    pub(super) fn new(scheme: &str, host: &str, port: Option<u16>) -> Option<Self> {
        let default = match scheme {
            "http" => Some(80),
            "https" => Some(443),
            "postgres" => Some(5432),
            _ => None,
        };
        Some(Self {
            scheme: scheme.to_owned(),
            host: host.to_ascii_lowercase(),
            port: port.or(default)?,
        })
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme, self.host, self.port)
    }
}

/// What a request shows to the component: all headers but hop-by-hop ones. `host` is among them, as in Spin.
pub(super) struct InboundHooks;

impl WasiHttpHooks for InboundHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name: &HeaderName| *name != HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }
}

/// Sends the component's requests, if it may reach their server.
pub(super) struct OutboundHooks(pub(super) Arc<Component>);

/// An answer, and what drives its connection.
type Sent = Result<(Response<Body>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

impl WasiHttpHooks for OutboundHooks {
    fn send_request(
        &mut self,
        request: Request<Body>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let server = Server::of(request.uri());
        let is_allowed = server.is_some_and(|server| self.0.may_reach(&server).unwrap_or(false));
        Box::new(async move {
            if !is_allowed {
                return Err(Error::HttpRequestDenied);
            }
            let (response, connection) = default_send_request(request, options).await?;
            Ok((response.map(BodyExt::boxed_unsync), Box::new(connection) as Box<_>))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_and_what_they_allow() {
        let variables = |port: Option<&str>| Variables {
            defaults: [("port".to_owned(), port.map(str::to_owned))].into(),
            prefixes: Vec::new(),
            environment: [].into(),
        };
        for (entry, uri, is_allowed) in [
            ("http://a:{{ port }}", "http://a:81/b?c", Some(true)),
            ("http://a:{{ port }}", "http://a", Some(false)),
            ("http://A", "http://a:80", Some(true)),
            ("http://a/", "https://a:80", Some(false)),
            ("postgres://a", "postgres://a:5432", Some(true)),
            ("http://[::1]:80", "http://[::1]/", Some(true)),
            ("http://a/b", "http://a", None),
            ("http://*", "http://a", None),
            ("a:80", "http://a", None),
            ("ftp://a", "http://a", None),
            ("", "http://a", None),
        ] {
            let entry = [Template::try_from(entry.to_owned()).unwrap()];
            let server = Server::of(&uri.parse().unwrap()).unwrap();
            let allowed = Server::allowed(&entry, &variables(Some("81"))).ok();
            let allows = allowed.map(|allowed| allowed.contains(&server));
            assert_eq!(allows, is_allowed, "{entry:?} {uri}");
            assert!(Server::allowed(&entry, &variables(None)).is_err());
        }
    }
}
