//! A component that does what the tests of the local host ask for: the path says what, request headers say how.

mod database;

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use spin_sdk::http::body::{IncomingBodyExt, stream};
use spin_sdk::http::{BoxBody, FullBody, Request, Response, box_body};
use spin_sdk::http_service;
use spin_sdk::wasip3::http::types::{Fields, RequestOptions};
use spin_sdk::wasip3::http_compat::RequestOptionsExtension;

/// Requests that this instance has had.
static REQUESTS: AtomicUsize = AtomicUsize::new(0);

#[http_service]
async fn handle(request: Request) -> anyhow::Result<Response<BoxBody>> {
    let count = REQUESTS.fetch_add(1, Relaxed) + 1;
    let path = request.uri().path().trim_start_matches("/again").to_owned();
    match path.as_str() {
        "/plain" => text("plain"),
        "/count" => text(count),
        "/headers" => headers(&request),
        "/echo" => echo(request),
        "/length" => text(length(request).await),
        "/var" => text(format!(
            "{:?}",
            spin_sdk::variables::get(argument(&request, "name")).await
        )),
        "/env" => text(format!("{:?}", std::env::vars().collect::<Vec<_>>())),
        "/file" => file(&argument(&request, "name")),
        "/write" => text(format!(
            "{:?}",
            std::fs::write(argument(&request, "name"), "x").map_err(|e| e.kind())
        )),
        "/say" => say(&argument(&request, "text")),
        "/query" => text(database::query(&request).await),
        "/query-sync" => text(database::query_sync(&request)),
        "/query-first" => text(database::query_first(&request).await),
        "/query-drop" => text(database::query_drop(&request).await),
        "/execute" => text(database::execute(&request).await),
        "/open" => text(database::open(&request).await),
        "/builder" => text(database::builder(&request).await),
        "/hold" => text(database::hold(&request).await),
        "/field" => text(format!("{:?}", Fields::new().append(&argument(&request, "name"), b"x"))),
        "/outbound" => outbound(request).await,
        "/stream" => Ok(streamed(number(&request, "count"), number(&request, "ms"), None)),
        "/trap-later" => Ok(trap_later(&request)),
        "/sleep" => {
            sleep(number(&request, "ms")).await;
            text("slept")
        }
        "/grow" => grow(number(&request, "mb")),
        "/trap" => panic!("asked to"),
        "/exit" => std::process::exit(3),
        "/error" => anyhow::bail!("asked to"),
        "/loop" => loop {
            std::hint::black_box(&path);
        },
        _ => Ok(Response::builder()
            .status(404)
            .body(box_body(FullBody::new(Bytes::from("no such path"))))?),
    }
}

/// A request header: the arguments of a test.
fn argument(request: &Request, name: &str) -> String {
    arguments(request, name).next().unwrap_or_default()
}

fn arguments(request: &Request, name: &str) -> impl Iterator<Item = String> {
    request
        .headers()
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

fn number(request: &Request, name: &str) -> u64 {
    argument(request, name).parse().unwrap_or_default()
}

fn text(value: impl ToString) -> anyhow::Result<Response<BoxBody>> {
    Ok(Response::new(box_body(FullBody::new(Bytes::from(value.to_string())))))
}

async fn sleep(ms: u64) {
    spin_sdk::time::sleep(Duration::from_millis(ms)).await;
}

fn headers(request: &Request) -> anyhow::Result<Response<BoxBody>> {
    let mut lines = format!("{} {}\n", request.method(), request.uri());
    for (name, value) in request.headers() {
        lines.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    text(lines)
}

fn echo(request: Request) -> anyhow::Result<Response<BoxBody>> {
    let (mut sender, body) = stream::<Bytes>();
    spin_sdk::wasip3::spawn(async move {
        let mut incoming = request.into_body().stream();
        while let Some(Ok(piece)) = incoming.next().await {
            if sender.send(piece).await.is_err() {
                break;
            }
        }
    });
    Ok(Response::new(box_body(body)))
}

/// How many bytes came, and whether all did.
async fn length(request: Request) -> String {
    let mut incoming = request.into_body().stream();
    let mut total = 0;
    while let Some(piece) = incoming.next().await {
        match piece {
            Ok(piece) => total += piece.len(),
            Err(error) => {
                eprintln!("body failed after {total}: {error:?}");
                return format!("{total} then {error:?}");
            }
        }
    }
    total.to_string()
}

fn file(name: &str) -> anyhow::Result<Response<BoxBody>> {
    text(std::fs::read_to_string(name).unwrap_or_else(|error| format!("{:?}", error.kind())))
}

fn say(words: &str) -> anyhow::Result<Response<BoxBody>> {
    eprintln!("{words}");
    println!("{words}");
    text("said")
}

fn grow(mb: u64) -> anyhow::Result<Response<BoxBody>> {
    let memory = vec![1_u8; usize::try_from(mb << 20)?];
    text(std::hint::black_box(memory).len())
}

/// `count` lines, `ms` apart; traps before the line `trap_at`.
fn streamed(count: u64, ms: u64, trap_at: Option<u64>) -> Response<BoxBody> {
    let (mut sender, body) = stream::<String>();
    spin_sdk::wasip3::spawn(async move {
        for line in 0..count {
            assert!(Some(line) != trap_at, "asked to");
            if sender.send(format!("{line}\n")).await.is_err() {
                eprintln!("reader gone at {line}");
                return;
            }
            sleep(ms).await;
        }
    });
    Response::new(box_body(body))
}

fn trap_later(request: &Request) -> Response<BoxBody> {
    let mut response = streamed(10, 20, Some(3));
    if let Some(length) = request.headers().get("declare") {
        response.headers_mut().insert("content-length", length.clone());
    }
    response
}

async fn outbound(request: Request) -> anyhow::Result<Response<BoxBody>> {
    let url = argument(&request, "url");
    let options = RequestOptions::new();
    if let ms @ 1.. = number(&request, "first-byte-ms") {
        options
            .set_first_byte_timeout(Some(ms * 1_000_000))
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    if let ms @ 1.. = number(&request, "between-bytes-ms") {
        options
            .set_between_bytes_timeout(Some(ms * 1_000_000))
            .map_err(|error| anyhow::anyhow!("{error:?}"))?;
    }
    let outgoing = http::Request::post(&url).extension(RequestOptionsExtension(options));
    let outgoing = outgoing.body(FullBody::new(Bytes::from(argument(&request, "body"))))?;
    match spin_sdk::http::send(outgoing).await {
        Ok(response) => {
            let status = response.status();
            let body = response.into_body().bytes().await;
            text(format!(
                "{status} {:?}",
                body.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            ))
        }
        Err(error) => text(format!("{error:?}")),
    }
}
