//! The HTTP half: those routes of `worker_plan` that the component asks for. Knows the folder alone.

use super::RUNS;
use super::folder::Folder;
use crate::faults::{Fault, Faults, distort};
use crate::host::server::Server;
use crate::schema::Generation;
use anyhow::Result;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use hyper::{Method, Request, Response};
use serde_json::json;
use std::fs;
use std::time::SystemTime;
use tokio::task::{JoinError, spawn_blocking};

const JSON: (&str, &str) = ("content-type", "application/json");

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

/// The run and the subject of a path. What people and other services ask of a run has no route here.
fn route(path: &str) -> Option<(&str, &str)> {
    let parts: Vec<&str> = path.split('/').collect();
    match *parts.as_slice() {
        ["", "healthcheck"] => Some(("", "healthcheck")),
        ["", "runs", "", _] => None,
        ["", "runs", run, what @ ("files" | "report" | "zip")] => Some((run, what)),
        _ => None,
    }
}

fn answer(folder: &Folder, request: &Request<Incoming>, fault: Fault) -> Response<Bytes> {
    let path = request.uri().path().replace("%2e", ".").replace("%2E", ".");
    let Some((run, what)) = route(&path) else {
        return detail(404, "Not Found");
    };
    if request.method() != Method::GET {
        return reply(405, &[JSON, ("allow", "GET")], r#"{"detail":"Method Not Allowed"}"#);
    }
    let generation = folder.generation();
    let report_name = generation.report();
    let (dir, report) = (format!("{RUNS}/{run}"), folder.path(run, report_name));
    let is_gone = fault == Fault::GoneAfterList && what != "files";
    let found = folder.names(run).ok().filter(|_| !is_gone);
    match (what, found) {
        ("healthcheck", _) => reply(200, &[JSON], format!(r#"{{"status":"ok","run_base_path":"{RUNS}"}}"#)),
        _ if run == ".." => detail(400, "Invalid run directory."),
        (_, None) => detail(404, &format!("Run directory does not exist: {dir}")),
        ("files", Some(mut names)) => {
            names.sort();
            let mut more = String::new();
            if generation == Generation::May {
                names.retain(|name| folder.path(run, name).is_file());
                let entry = |name: &String| {
                    let time = fs::metadata(folder.path(run, name)).and_then(|file| file.modified());
                    let time = time.unwrap_or(SystemTime::UNIX_EPOCH);
                    json!({ "name": name, "updated_at": DateTime::<Utc>::from(time).format("%FT%TZ").to_string() })
                };
                more = format!(
                    r#","files_with_timestamps":{}"#,
                    json!(names.iter().map(entry).collect::<Vec<_>>())
                );
            }
            let (run, dir, names) = (json!(run), json!(dir), json!(names));
            let body = format!(r#"{{"run_id":{run},"run_dir":{dir},"files":{names}{more}}}"#);
            reply(200, &[JSON], body)
        }
        ("report", _) => match fs::read(&report) {
            Ok(page) => file(page, "text/html; charset=utf-8", report_name),
            Err(_) => detail(404, &format!("Report file not found for run {run}")),
        },
        _ => match folder.zip(run) {
            Ok(zip) if fault != Fault::Vanishing => file(zip, "application/zip", &format!("{run}.zip")),
            _ => {
                let why = format!("[Errno 2] No such file or directory: '{dir}/{report_name}'");
                detail(500, &format!("Unable to create zip: {why}"))
            }
        },
    }
}

/// A file, whole: nothing here asks for a range of one, or looks at its age.
fn file(content: Vec<u8>, kind: &str, name: &str) -> Response<Bytes> {
    let disposition = format!("attachment; filename=\"{name}\"");
    reply(
        200,
        &[("content-type", kind), ("content-disposition", &disposition)],
        content,
    )
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
