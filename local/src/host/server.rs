//! HTTP/1.1 over TCP.

use std::{error::Error, net::SocketAddr, time::Duration};

use anyhow::Context as _;
use http::{Request, Response};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{rt::TokioIo, server::graceful::GracefulShutdown};
use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};

/// How long to wait after a failure to accept, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound listener.
pub(crate) struct Server {
    listener: TcpListener,
    address: SocketAddr,
    grace: Duration,
}

impl Server {
    /// Binds an address; port 0 takes a free one.
    ///
    /// # Errors
    /// The cause is the [`std::io::Error`], with the kind `AddrInUse` for a port that is taken.
    pub(crate) async fn bind(address: SocketAddr) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(address)
            .await
            .with_context(|| format!("cannot listen on {address}"))?;
        let address = listener.local_addr()?;
        Ok(Self {
            listener,
            address,
            grace: Duration::ZERO,
        })
    }

    /// Sets how long running requests may go on after a shutdown began. The default is not at all.
    #[must_use]
    pub(crate) fn with_grace(self, grace: Duration) -> Self {
        Self { grace, ..self }
    }

    /// The address that is bound.
    #[must_use]
    pub(crate) fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown` completes; then accepts no more, lets running requests finish, and ends. Dropping the
    /// future ends everything at once. An error of `answer` closes the connection without an answer.
    pub(crate) async fn serve<A, F, B, E>(self, answer: A, shutdown: impl Future<Output = ()>)
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
