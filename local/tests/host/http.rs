//! What the guest sees of a request, and the client of an answer.

use std::time::{Duration, Instant};

use ::http::Request;
use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};

use planexe_local::host::body;

use crate::support::{client, eventually, request, runtime, tested, text};

#[tokio::test]
async fn an_answer() {
    assert_eq!(
        tested().get("/plain", &[]).await,
        (200.try_into().unwrap(), "plain".to_owned())
    );
}

#[tokio::test]
async fn what_the_guest_sees_of_a_request() {
    let tested = tested();
    let request = Request::get("/headers?a=b")
        .header("host", "example.org")
        .header("connection", "keep-alive")
        .header("keep-alive", "timeout=5")
        .header("upgrade", "h2c")
        .header("API_KEY", "k")
        .header("spin-client-addr", "forged")
        .body(body(""))
        .unwrap();
    let seen = text(tested.send(request).await.into_body()).await.unwrap();
    let mut lines: Vec<_> = seen.lines().collect();
    assert_eq!(lines.remove(0), "GET http://example.org/headers?a=b");
    // Stable: the order among headers of one name is kept, and the host's own come last.
    lines.sort_by_key(|line| line.split(':').next());
    assert_eq!(
        lines,
        [
            "api_key: k",
            "host: example.org",
            "spin-base-path: /",
            "spin-client-addr: forged",
            "spin-client-addr: 127.0.0.1:4711",
            "spin-component-route: ",
            "spin-full-url: http://example.org/headers?a=b",
            "spin-matched-route: /...",
            "spin-path-info: /headers",
            "spin-raw-component-route: /...",
        ]
    );
}

#[tokio::test]
async fn a_second_route_leads_to_a_second_component() {
    let tested = tested();
    let seen = tested.ok("/again/headers", &[]).await;
    assert!(seen.contains("spin-path-info: /headers\n"), "{seen}");
    assert!(seen.contains("spin-component-route: /again\n"), "{seen}");
    assert!(tested.ok("/again/env", &[]).await.contains("[]"));
    assert!(tested.ok("/env", &[]).await.contains(r#"("COLOUR", "blue")"#));
}

#[tokio::test]
async fn the_hosts_own_paths() {
    let tested = tested();
    assert_eq!(
        tested.get("/.well-known/spin/health", &[]).await,
        (200.try_into().unwrap(), "OK".to_owned())
    );
    let response = tested.send(request("/.well-known/spin/info", &[])).await;
    assert_eq!(response.headers()["content-type"], "application/json");
    let info: serde_json::Value = serde_json::from_str(&text(response.into_body()).await.unwrap()).unwrap();
    assert_eq!(info, serde_json::json!({ "name": "guest", "version": "0.1.0" }));
    assert_eq!(
        tested.get("/.well-known/spin/other", &[]).await,
        (404.try_into().unwrap(), String::new())
    );
    assert_eq!(tested.stats().instances_created, 0);
}

#[tokio::test]
async fn interfaces() {
    let (imports, exports) = runtime().component_interfaces();
    assert_eq!(exports, ["wasi:http/handler@0.3.0"]);
    assert!(
        imports.contains(&"spin:postgres/postgres@4.2.0".to_owned()),
        "{imports:?}"
    );
}

#[tokio::test]
async fn a_request_body_streams_in_and_out() {
    let tested = tested();
    let (mut sender, receiver) = futures::channel::mpsc::channel::<Result<_, wasmtime_wasi_http::Error>>(1);
    let pieces = StreamBody::new(receiver).boxed_unsync();
    let response = tested
        .send(Request::post("http://test/echo").body(pieces).unwrap())
        .await;
    let mut answer = response.into_body().into_data_stream();
    for piece in ["one", "two", "three"] {
        sender.send(Ok(Frame::data(Bytes::from(piece)))).await.unwrap();
        assert_eq!(answer.next().await.unwrap().unwrap(), piece);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(sender);
    assert!(answer.next().await.is_none());
}

#[tokio::test]
async fn a_large_request_body() {
    let request = Request::post("http://test/length")
        .body(body(vec![7; 3 << 20]))
        .unwrap();
    assert_eq!(
        text(tested().send(request).await.into_body()).await.unwrap(),
        (3 << 20).to_string()
    );
}

#[tokio::test]
async fn a_request_body_that_breaks_off() {
    let pieces = [
        Ok(Frame::data(Bytes::from("abc"))),
        Err(wasmtime_wasi_http::Error::ConnectionTerminated),
    ];
    let pieces = StreamBody::new(futures::stream::iter(pieces)).boxed_unsync();
    let request = Request::post("http://test/length").body(pieces).unwrap();
    let seen = text(tested().send(request).await.into_body()).await.unwrap();
    assert!(seen.starts_with("3 then"), "{seen}");
}

#[tokio::test]
async fn an_answer_arrives_piece_by_piece() {
    let response = tested()
        .send(request("/stream", &[("count", "3"), ("ms", "200")]))
        .await;
    let mut pieces = response.into_body().into_data_stream();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "0\n");
    let first = Instant::now();
    assert_eq!(pieces.next().await.unwrap().unwrap(), "1\n");
    assert_eq!(pieces.next().await.unwrap().unwrap(), "2\n");
    assert!(first.elapsed() >= Duration::from_millis(300), "{:?}", first.elapsed());
    assert!(pieces.next().await.is_none());
}

#[tokio::test]
async fn the_guest_notices_a_reader_that_is_gone() {
    let tested = tested();
    let response = tested.send(request("/stream", &[("count", "100"), ("ms", "20")])).await;
    let mut pieces = response.into_body().into_data_stream();
    pieces.next().await.unwrap().unwrap();
    drop(pieces);
    eventually("reader gone", || tested.stderr().contains("reader gone")).await;
}

#[tokio::test]
async fn files_are_there_to_read() {
    let tested = tested();
    let read = tested.ok("/file", &[("name", "/source/lib.rs")]).await;
    assert!(read.starts_with("//! A component"), "{read}");
    assert_eq!(
        tested.ok("/file", &[("name", "/source/../Cargo.toml")]).await,
        "PermissionDenied"
    );
    assert_eq!(tested.ok("/file", &[("name", "/etc/passwd")]).await, "NotFound");
    let written = tested.ok("/write", &[("name", "/source/new.rs")]).await;
    assert!(written.starts_with("Err("), "{written}");
}

#[tokio::test]
async fn standard_streams() {
    let tested = tested();
    tested.ok("/say", &[("text", "hear, hear")]).await;
    assert_eq!(tested.stdout(), "hear, hear\n");
    assert_eq!(tested.stderr(), "hear, hear\n");
}

#[tokio::test]
async fn a_request_without_authority_is_a_failure() {
    let tested = tested();
    let response = tested
        .host
        .handle(client(), Request::get("/plain").body(body("")).unwrap())
        .await;
    assert_eq!(response.status(), 500);
    assert!(tested.stderr().contains("no 'Host' header"), "{}", tested.stderr());
}
