//! HTTP requests that the guest sends.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use ::http::{Request, Response};
use bytes::Bytes;
use futures::StreamExt as _;
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::support::{environment, tested, tested_with};

/// A server that says what it got, slowly if the path says so. Counts its connections.
async fn server() -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            counted.fetch_add(1, Relaxed);
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
        }
    });
    (address, connections)
}

async fn answer(
    request: Request<Incoming>,
) -> Result<Response<impl http_body::Body<Data = Bytes, Error = Infallible>>, Infallible> {
    let (parts, body) = request.into_parts();
    if parts.uri.path() == "/slow-start" {
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
    let slow = parts.uri.path() == "/slow-body";
    let host: Vec<_> = parts.headers.get_all("host").iter().collect();
    let body = body.collect().await.unwrap().to_bytes();
    let text = format!("{} {} host={host:?} body={body:?}", parts.method, parts.uri);
    let pieces = futures::stream::iter([text, " end".to_owned()])
        .enumerate()
        .then(move |(index, piece)| async move {
            if slow && index == 1 {
                tokio::time::sleep(Duration::from_secs(5)).await;
            }
            Ok(Frame::data(Bytes::from(piece)))
        });
    Ok(Response::new(StreamBody::new(Box::pin(pieces))))
}

#[tokio::test]
async fn a_request() {
    let (address, connections) = server().await;
    let tested = tested();
    for _ in 0..3 {
        let seen = tested
            .ok(
                "/outbound",
                &[("url", &format!("http://{address}/a?b=c")), ("body", "text")],
            )
            .await;
        assert_eq!(
            seen,
            format!(r#"200 OK Ok("POST /a?b=c host=[\"{address}\"] body=b\"text\" end")"#)
        );
    }
    assert_eq!(connections.load(Relaxed), 1, "the connection is kept");
}

#[tokio::test]
async fn what_is_refused() {
    let tested = tested();
    let (plain, _) = server().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (url, error) in [
        ("http://example.com/".to_owned(), "HttpRequestDenied"),
        (format!("http://localhost:{}/", closed.port()), "HttpRequestDenied"),
        (format!("https://localhost:{}/", closed.port()), "HttpRequestDenied"),
        ("http://no-such-host.invalid/".to_owned(), "DnsError"),
        (format!("http://{closed}/"), "ConnectionRefused"),
        (format!("https://{closed}/"), "ConnectionRefused"),
        (format!("https://{plain}/"), "TlsProtocolError"),
    ] {
        let seen = tested.ok("/outbound", &[("url", &url)]).await;
        assert!(seen.contains(error), "{url}: {seen}");
    }
    assert!(
        tested.stderr().contains("may not reach http://example.com"),
        "{}",
        tested.stderr()
    );
}

#[tokio::test]
async fn a_component_without_allowed_hosts_reaches_nothing() {
    let (address, connections) = server().await;
    let seen = tested()
        .ok("/again/outbound", &[("url", &format!("http://{address}/"))])
        .await;
    assert!(seen.contains("HttpRequestDenied"), "{seen}");
    assert_eq!(connections.load(Relaxed), 0);
}

#[tokio::test]
async fn a_variable_without_value_closes_everything() {
    let (address, _) = server().await;
    let tested = tested_with(|options| options.environment = environment(&[]));
    let seen = tested.ok("/outbound", &[("url", &format!("http://{address}/"))]).await;
    assert!(seen.contains("HttpRequestDenied"), "{seen}");
    assert!(
        tested
            .stderr()
            .contains("no provider resolved required variable \"api_key\""),
        "{}",
        tested.stderr()
    );
}

#[tokio::test]
async fn timeouts() {
    let (address, _) = server().await;
    let tested = tested();
    let slow = format!("http://{address}/slow-start");
    let seen = tested
        .ok("/outbound", &[("url", &slow), ("first-byte-ms", "100")])
        .await;
    assert!(seen.contains("ConnectionReadTimeout"), "{seen}");
    let slow = format!("http://{address}/slow-body");
    let seen = tested
        .ok("/outbound", &[("url", &slow), ("between-bytes-ms", "100")])
        .await;
    assert!(
        seen.starts_with("200 OK Err") && seen.contains("ConnectionReadTimeout"),
        "{seen}"
    );
}

#[tokio::test]
async fn a_guest_may_not_set_hop_by_hop_headers() {
    let tested = tested();
    for name in ["host", "connection", "transfer-encoding", "upgrade"] {
        assert_eq!(
            tested.ok("/field", &[("name", name)]).await,
            "Err(HeaderError::Forbidden)"
        );
    }
    assert_eq!(tested.ok("/field", &[("name", "accept")]).await, "Ok(())");
}
