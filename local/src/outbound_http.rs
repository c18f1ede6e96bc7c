//! Requests that a guest sends: checked against its allowed hosts, then sent over kept connections.

use std::error::Error as _;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderName, Request, Response, Uri};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep, timeout};
use wasmtime_wasi_http::{DEFAULT_FORBIDDEN_HEADERS, Error, ForbiddenHeaderFilter, RequestOptions, WasiHttpHooks};

use crate::component::Reach;
use crate::host::Body;

/// How long each phase of a request may take when the guest does not say.
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(600);

tokio::task_local! {
    /// The connect timeout of the request that a connection is made for.
    static CONNECT_TIMEOUT: Duration;
}

/// An HTTP client shared by all instances of a host.
#[derive(Clone)]
pub(crate) struct Client(legacy::Client<HttpsConnector<Connector>, Body>);

impl Client {
    /// `pooling` keeps connections for later requests.
    pub(crate) fn new(pooling: bool) -> anyhow::Result<Self> {
        let connector = hyper_rustls::HttpsConnectorBuilder::new()
            .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector);
        let mut builder = legacy::Client::builder(TokioExecutor::new());
        if !pooling {
            builder.pool_max_idle_per_host(0);
        }
        Ok(Self(builder.build(connector)))
    }

    async fn send(
        &self,
        mut request: Request<Body>,
        options: Option<RequestOptions>,
        reach: &Reach,
    ) -> Result<Response<Body>, Error> {
        let options = options.unwrap_or_default();
        if !reach.allows(&request.uri().to_string(), "https").unwrap_or(false) {
            return Err(Error::HttpRequestDenied);
        }
        request.headers_mut().remove(HOST);
        let connect = options.connect_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let first_byte = options.first_byte_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let between_bytes = options.between_bytes_timeout.unwrap_or(DEFAULT_TIMEOUT);
        let response = CONNECT_TIMEOUT.scope(connect, self.0.request(request));
        let response = timeout(first_byte, response)
            .await
            .map_err(|_| Error::ConnectionReadTimeout)?
            .map_err(|error| wasi_error(&error))?;
        Ok(response.map(|body| {
            TimedBody {
                body,
                wait: None,
                limit: between_bytes,
            }
            .boxed_unsync()
        }))
    }
}

/// Finds the error of the connector among the causes; any other is a protocol error, as in Spin.
fn wasi_error(error: &legacy::Error) -> Error {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(error) = inner.downcast_ref::<ConnectError>() {
            return error.into();
        }
        cause = inner.source();
    }
    if error.is_connect() {
        Error::TlsProtocolError
    } else {
        Error::HttpProtocolError
    }
}

/// Makes the TCP connections.
#[derive(Clone)]
struct Connector;

#[derive(Debug)]
enum ConnectError {
    NoHost,
    Dns,
    Timeout,
    Refused,
}

impl From<&ConnectError> for Error {
    fn from(error: &ConnectError) -> Self {
        match error {
            ConnectError::NoHost => Self::HttpRequestUriInvalid,
            ConnectError::Dns => Self::DnsError {
                rcode: Some("address not available".to_owned()),
                info_code: Some(0),
            },
            ConnectError::Timeout => Self::ConnectionTimeout,
            ConnectError::Refused => Self::ConnectionRefused,
        }
    }
}

impl std::fmt::Display for ConnectError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Error::from(self).fmt(f)
    }
}

impl std::error::Error for ConnectError {}

impl Connector {
    async fn connect(uri: Uri, limit: Duration) -> Result<TokioIo<TcpStream>, ConnectError> {
        let host = uri.host().ok_or(ConnectError::NoHost)?;
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port = uri
            .port_u16()
            .unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let addresses: Vec<_> = tokio::net::lookup_host((host, port))
            .await
            .map_err(|_| ConnectError::Dns)?
            .collect();
        let stream = timeout(limit, TcpStream::connect(&*addresses))
            .await
            .map_err(|_| ConnectError::Timeout)?
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::AddrNotAvailable => ConnectError::Dns,
                _ => ConnectError::Refused,
            })?;
        _ = stream.set_nodelay(true);
        Ok(TokioIo::new(stream))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = TokioIo<TcpStream>;
    type Error = ConnectError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let limit = CONNECT_TIMEOUT.try_with(|limit| *limit).unwrap_or(DEFAULT_TIMEOUT);
        Box::pin(Self::connect(uri, limit))
    }
}

/// A response body that fails when nothing comes for too long.
struct TimedBody {
    body: Incoming,
    wait: Option<Pin<Box<Sleep>>>,
    limit: Duration,
}

impl http_body::Body for TimedBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            this.wait = None;
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::from)));
        }
        let limit = this.limit;
        let wait = this.wait.get_or_insert_with(|| Box::pin(sleep(limit)));
        wait.as_mut().poll(cx).map(|()| Some(Err(Error::ConnectionReadTimeout)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

type Sent = Result<(Response<Body>, Box<dyn Future<Output = Result<(), Error>> + Send>), Error>;

/// What a guest may do with HTTP: send to its allowed hosts; no hop-by-hop headers, no `host`.
pub(crate) struct OutboundHooks {
    reach: Reach,
    client: Client,
}

impl OutboundHooks {
    pub(crate) fn new(reach: Reach, client: Client) -> Self {
        Self { reach, client }
    }
}

impl WasiHttpHooks for OutboundHooks {
    fn send_request(
        &mut self,
        request: Request<Body>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        let (reach, client) = (self.reach.clone(), self.client.clone());
        Box::new(async move {
            let response = client.send(request, options, &reach).await?;
            // The body itself carries the errors of the connection.
            Ok((response, Box::new(async { Ok(()) }) as Box<_>))
        })
    }
}

/// What an incoming request may show to the guest: all headers but hop-by-hop ones, `host` included, as in Spin.
pub(crate) struct InboundHooks;

impl WasiHttpHooks for InboundHooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(|name: &HeaderName| *name != HOST && DEFAULT_FORBIDDEN_HEADERS.contains(name))
    }

    fn send_request(
        &mut self,
        _: Request<Body>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }
}
