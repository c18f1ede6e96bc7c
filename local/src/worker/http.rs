//! The HTTP half: the routes of `worker_plan` that concern runs of the database's workers. Knows the folder alone.

use super::faults::{Fault, Faults, distort};
use super::folder::Folder;
use super::{COMPLETE, REPORT, RUNS};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, HOST, HeaderMap, HeaderName, HeaderValue, IF_RANGE, RANGE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::net::SocketAddr;
use std::time::SystemTime;
use time::OffsetDateTime;
use time::macros::format_description;
use tokio::net::TcpListener;
use tokio::task::{JoinError, JoinSet, spawn_blocking};

/// Serves until it is dropped, and all connections with it.
pub(super) async fn serve(listener: TcpListener, address: SocketAddr, folder: Folder, faults: Faults) {
    let mut connections = JoinSet::new();
    let mut listener = Some(listener);
    loop {
        while connections.try_join_next().is_some() {}
        let Some(open) = &listener else {
            connections.shutdown().await;
            faults.until(false).await;
            listener = TcpListener::bind(address).await.ok();
            continue;
        };
        let accepted = tokio::select! {
            accepted = open.accept() => accepted,
            () = faults.until(true) => { listener = None; continue }
        };
        let Ok((stream, _)) = accepted else { continue };
        _ = stream.set_nodelay(true);
        let (folder, faults) = (folder.clone(), faults.clone());
        let service = service_fn(move |request: Request<Incoming>| {
            let (folder, fault) = (folder.clone(), faults.on_request(request.uri().path()));
            // Answers are made in threads, as there: packing holds up no other request.
            let answered = spawn_blocking(move || answer(&folder, &request, fault));
            async move { Ok::<_, JoinError>(distort(fault, answered.await?).await) }
        });
        // Its error is the client's: it went away.
        let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
        connections.spawn(async { drop(connection.await) });
    }
}

/// The method, the run and the subject of a path.
fn route(path: &str) -> Option<(&'static str, &str, &str)> {
    let parts: Vec<&str> = path.split('/').collect();
    match *parts.as_slice() {
        ["", "healthcheck"] => Some(("GET", "", "healthcheck")),
        ["", "runs", run] if !run.is_empty() => Some(("GET", run, "status")),
        ["", "runs", run, what @ ("files" | "report" | "zip")] if !run.is_empty() => Some(("GET", run, what)),
        ["", "runs", run, "stop"] if !run.is_empty() => Some(("POST", run, "stop")),
        _ => None,
    }
}

fn answer(folder: &Folder, request: &Request<Incoming>, fault: Fault) -> Response<Bytes> {
    let path = request.uri().path().replace("%2e", ".").replace("%2E", ".");
    let Some((method, run, what)) = route(&path) else {
        let shorter = path.trim_end_matches('/');
        if shorter == path || route(shorter).is_none() {
            return detail(404, "Not Found");
        }
        let address = format!("http://{}{shorter}", text(request.headers(), HOST).unwrap_or_default());
        return reply(307, &[("location", &address)], "");
    };
    if *request.method() != *method {
        let mut refused = detail(405, "Method Not Allowed");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static(method));
        return refused;
    }
    let dir = format!("{RUNS}/{run}");
    let found = folder
        .names(run)
        .ok()
        .filter(|_| fault != Fault::GoneAfterList || what == "files");
    match (what, found) {
        ("healthcheck", _) => ok(format!(r#"{{"status":"ok","run_base_path":"{RUNS}"}}"#)),
        ("stop", _) => detail(404, &format!("Run not found: {run}")),
        ("status", found) => {
            let names = found.iter().flatten();
            let last = names.clone().filter_map(|name| folder.written(run, name).ok()).max();
            let age = json!(last.and_then(|time| Some(time.elapsed().ok()?.as_secs_f64())));
            let (exists, complete) = (found.is_some(), names.clone().any(|name| name == COMPLETE));
            let (run, dir) = (json!(run), json!(dir));
            ok(format!(
                "{{\"run_id\":{run},\"run_dir\":{dir},\"display_run_dir\":{dir},\"run_dir_exists\":{exists},\"pid\":null,\
                 \"running\":false,\"returncode\":null,\"pipeline_complete\":{complete},\"stop_requested\":false,\
                 \"last_update_seconds_ago\":{age}}}"
            ))
        }
        _ if run == ".." => detail(400, "Invalid run directory."),
        (_, None) => detail(404, &format!("Run directory does not exist: {dir}")),
        ("files", Some(mut names)) => {
            names.sort();
            let (run, dir, names) = (json!(run), json!(dir), json!(names));
            ok(format!(r#"{{"run_id":{run},"run_dir":{dir},"files":{names}}}"#))
        }
        ("report", _) => match (folder.read(run, REPORT), folder.written(run, REPORT)) {
            (Ok(page), Ok(time)) => file(request.headers(), page, time, "text/html; charset=utf-8", REPORT),
            _ => detail(404, &format!("Report file not found for run {run}")),
        },
        _ => match folder.zip(run) {
            Ok(zip) if fault != Fault::Vanishing => {
                let name = format!("{run}.zip");
                file(request.headers(), zip, SystemTime::now(), "application/zip", &name)
            }
            _ => {
                let why = format!("[Errno 2] No such file or directory: '{dir}/{REPORT}'");
                detail(500, &format!("Unable to create zip: {why}"))
            }
        },
    }
}

/// A file, or the one range of it that was asked for. Of all conditions, only `If-Range` is looked at.
fn file(headers: &HeaderMap, content: Vec<u8>, written: SystemTime, kind: &str, name: &str) -> Response<Bytes> {
    let content = Bytes::from(content);
    let size = content.len();
    let hash = Sha256::digest(format!("{written:?}-{size}"));
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let etag = format!("\"{hash}\"");
    let date =
        format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
    let modified = OffsetDateTime::from(written).format(date).unwrap_or_default();
    let is_current = text(headers, IF_RANGE).is_none_or(|value| value == etag || value == modified);
    let range = text(headers, RANGE).filter(|range| is_current && !range.contains(','));
    let (status, place, content) = match range.map(|range| bounds(range, size)) {
        None => (200, None, content),
        Some(None) => {
            return reply(
                400,
                &[("content-type", "text/plain; charset=utf-8")],
                "Malformed range header.",
            );
        }
        Some(Some((start, _))) if start >= size => return reply(416, &[("content-range", &format!("*/{size}"))], ""),
        Some(Some((start, end))) => {
            let place = format!("bytes {start}-{}/{size}", end - 1);
            (206, Some(place), content.slice(start..end))
        }
    };
    let disposition = format!("attachment; filename=\"{name}\"");
    let mut headers = vec![
        ("content-type", kind),
        ("content-disposition", &disposition),
        ("accept-ranges", "bytes"),
        ("last-modified", &modified),
        ("etag", &etag),
    ];
    headers.extend(place.as_deref().map(|place| ("content-range", place)));
    reply(status, &headers, content)
}

/// The first byte that a `Range` header asks for and the one after the last; `None` if it cannot be read.
fn bounds(header: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (first, last) {
        ("", last) => (size.checked_sub(last.parse().ok()?).unwrap_or(size), size),
        (first, "") => (first.parse().ok()?, size),
        (first, last) => (
            first.parse().ok()?,
            size.min(last.parse::<usize>().ok()?.saturating_add(1)),
        ),
    };
    (start < end || start >= size).then_some((start, end))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn detail(status: u16, message: &str) -> Response<Bytes> {
    let body = json!({ "detail": message }).to_string();
    reply(status, &[("content-type", "application/json")], body)
}

fn ok(json: String) -> Response<Bytes> {
    reply(200, &[("content-type", "application/json")], json)
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let response = Response::builder().status(status);
    let response = headers
        .iter()
        .fold(response, |response, (name, value)| response.header(*name, *value));
    response.body(body.into()).unwrap_or_default()
}
