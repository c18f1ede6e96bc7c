//! HTTP/1.1 over TCP in front of a [`Host`], and of what else answers requests.

use std::error::Error;
use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Host;

/// How long requests that are running may go on after the shutdown began.
const GRACE: Duration = Duration::from_secs(10);

/// How long to wait after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    grace: Duration,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The cause is the [`std::io::Error`], with the kind `AddrInUse` for a port that is taken.
    pub async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            grace: GRACE,
        })
    }

    /// Sets how long running requests may go on after a shutdown began. The default is 10 s.
    #[must_use]
    pub fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The address that is bound.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes; then accepts no more, lets running requests finish, and ends. Dropping the
    /// future ends everything at once.
    ///
    /// # Errors
    /// None at present: a connection that fails ends alone.
    pub async fn serve(self, host: Host, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let answer = move |client, request: Request<Incoming>| {
            let host = host.clone();
            async move {
                let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
                host.respond(client, request).await
            }
        };
        self.serve_with(answer, shutdown).await;
        Ok(())
    }

    /// The same with any function that answers. Its error closes the connection without an answer.
    pub(crate) async fn serve_with<A, F, B, E>(self, answer: A, shutdown: impl Future<Output = ()>)
    where
        A: Fn(SocketAddr, Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
        B: http_body::Body<Data: Send, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>> + 'static,
    {
        let graceful = GracefulShutdown::new();
        let mut connections = JoinSet::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                Some(_) = connections.join_next() => continue,
                () = &mut shutdown => break,
            };
            let Ok((stream, client)) = accepted else {
                sleep(ACCEPT_PAUSE).await;
                continue;
            };
            // As in Spin, without TCP_NODELAY: an answer that is written in two parts may wait for the client's delayed
            // acknowledgement of the first.
            let answer = answer.clone();
            let service = service_fn(move |request| answer(client, request));
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            connections.spawn(graceful.watch(connection));
        }
        drop(self.listener);
        _ = timeout(self.grace, graceful.shutdown()).await;
        connections.shutdown().await;
    }
}
