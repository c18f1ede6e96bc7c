//! The HTTP half: the routes of `worker_plan` that concern runs of the database's workers. Knows the folder alone.

use super::folder::Folder;
use super::{COMPLETE, RUNS};
use crate::faults::{Fault, Faults, distort};
use crate::host::server::Server;
use anyhow::Result;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderMap, HeaderName, IF_RANGE, RANGE};
use hyper::{Request, Response};
use serde_json::json;
use sha2::{Digest, Sha256};
use std::time::SystemTime;
use std::{fs, path::PathBuf};
use tokio::task::{JoinError, spawn_blocking};

const JSON: (&str, &str) = ("content-type", "application/json");
const TEXT: (&str, &str) = ("content-type", "text/plain; charset=utf-8");

/// Serves until it is dropped; not while connections are to be refused.
pub(super) async fn serve(mut server: Server, folder: Folder, faults: Faults) -> Result<()> {
    loop {
        let (address, folder, faults, until) = (server.local_addr(), folder.clone(), faults.clone(), faults.clone());
        let answer = move |_, request: Request<Incoming>| {
            let (folder, fault) = (folder.clone(), faults.on_request(request.uri().path()));
            // Answers are made in threads, as there: packing holds up no other request.
            let answered = spawn_blocking(move || answer(&folder, &request, fault));
            async move { Ok::<_, JoinError>(distort(fault, answered.await?).await) }
        };
        server.serve(answer, until.until(true)).await;
        until.until(false).await;
        server = Server::bind(address).await?;
    }
}

/// The method, the run and the subject of a path.
fn route(path: &str) -> Option<(&'static str, &str, &str)> {
    let parts: Vec<&str> = path.split('/').collect();
    match *parts.as_slice() {
        ["", "healthcheck"] => Some(("GET", "", "healthcheck")),
        ["", "runs", ""] | ["", "runs", "", _] => None,
        ["", "runs", run] => Some(("GET", run, "status")),
        ["", "runs", run, what @ ("files" | "report" | "zip")] => Some(("GET", run, what)),
        ["", "runs", run, "stop"] => Some(("POST", run, "stop")),
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
        return reply(405, &[JSON, ("allow", method)], r#"{"detail":"Method Not Allowed"}"#);
    }
    let report_name = folder.generation().report();
    let (dir, report) = (format!("{RUNS}/{run}"), folder.path(run, report_name));
    let written = |path: &PathBuf| fs::metadata(path)?.modified();
    let is_gone = fault == Fault::GoneAfterList && what != "files";
    let found = folder.names(run).ok().filter(|_| !is_gone);
    match (what, found) {
        ("healthcheck", _) => reply(200, &[JSON], format!(r#"{{"status":"ok","run_base_path":"{RUNS}"}}"#)),
        ("stop", _) => detail(404, &format!("Run not found: {run}")),
        ("status", found) => {
            let names = found.iter().flatten();
            let last = names
                .clone()
                .filter_map(|name| written(&folder.path(run, name)).ok())
                .max();
            let age = json!(last.and_then(|time| Some(time.elapsed().ok()?.as_secs_f64())));
            let (exists, complete) = (found.is_some(), names.clone().any(|name| name == COMPLETE));
            let (run, dir) = (json!(run), json!(dir));
            let body = format!(
                "{{\"run_id\":{run},\"run_dir\":{dir},\"display_run_dir\":{dir},\"run_dir_exists\":{exists},\"pid\":null,\
                 \"running\":false,\"returncode\":null,\"pipeline_complete\":{complete},\"stop_requested\":false,\
                 \"last_update_seconds_ago\":{age}}}"
            );
            reply(200, &[JSON], body)
        }
        _ if run == ".." => detail(400, "Invalid run directory."),
        (_, None) => detail(404, &format!("Run directory does not exist: {dir}")),
        ("files", Some(mut names)) => {
            names.sort();
            let (run, dir, names) = (json!(run), json!(dir), json!(names));
            reply(
                200,
                &[JSON],
                format!(r#"{{"run_id":{run},"run_dir":{dir},"files":{names}}}"#),
            )
        }
        ("report", _) => match (fs::read(&report), written(&report)) {
            (Ok(page), Ok(time)) => file(request.headers(), page, time, "text/html; charset=utf-8", report_name),
            _ => detail(404, &format!("Report file not found for run {run}")),
        },
        _ => match (folder.zip(run), format!("{run}.zip"), SystemTime::now()) {
            (Ok(zip), name, now) if fault != Fault::Vanishing => {
                file(request.headers(), zip, now, "application/zip", &name)
            }
            _ => {
                let why = format!("[Errno 2] No such file or directory: '{dir}/{report_name}'");
                detail(500, &format!("Unable to create zip: {why}"))
            }
        },
    }
}

/// A file, or the one range of it that was asked for. Of all conditions, only `If-Range` is looked at.
fn file(headers: &HeaderMap, content: Vec<u8>, written: SystemTime, kind: &str, name: &str) -> Response<Bytes> {
    let size = content.len();
    let hash = Sha256::digest(format!("{written:?}-{size}"));
    let hash: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let (etag, disposition) = (format!("\"{hash}\""), format!("attachment; filename=\"{name}\""));
    let modified = DateTime::<Utc>::from(written)
        .format("%a, %d %b %Y %H:%M:%S GMT")
        .to_string();
    let is_current = text(headers, IF_RANGE).is_none_or(|value| value == etag || value == modified);
    let range = text(headers, RANGE).filter(|range| is_current && !range.contains(','));
    let (start, end) = match range.map(|range| bounds(range, size)) {
        None => (0, size),
        Some(Some((start, end))) if start < end => (start, end),
        Some(Some(_)) => return reply(416, &[TEXT, ("content-range", &format!("*/{size}"))], ""),
        Some(None) => return reply(400, &[TEXT], "Malformed range header."),
    };
    let place = format!("bytes {start}-{}/{size}", end.saturating_sub(1));
    let mut headers = vec![("content-type", kind), ("content-disposition", &disposition)];
    headers.extend([
        ("accept-ranges", "bytes"),
        ("last-modified", &modified),
        ("etag", &etag),
    ]);
    headers.extend(range.map(|_| ("content-range", place.as_str())));
    let content = Bytes::from(content).slice(start..end);
    reply(if range.is_some() { 206 } else { 200 }, &headers, content)
}

/// The first byte that a `Range` header asks for and the one after the last, both `size` without a range; `None`
/// for something else.
fn bounds(header: &str, size: usize) -> Option<(usize, usize)> {
    let (first, last) = header.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.parse::<usize>().ok();
    let (start, end) = match (first, last) {
        ("", _) => (size.checked_sub(number(last)?).unwrap_or(size), size),
        (_, "") => (number(first)?, size),
        _ => (number(first)?, size.min(number(last)?.saturating_add(1))),
    };
    (start < end || start >= size).then_some((start.min(size), end))
}

fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

fn detail(status: u16, message: &str) -> Response<Bytes> {
    reply(status, &[JSON], json!({ "detail": message }).to_string())
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(*name, *value);
    }
    response.body(body.into()).unwrap_or_default()
}
