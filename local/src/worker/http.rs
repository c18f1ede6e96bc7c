//! The HTTP half: the routes of `worker_plan` that concern runs of the database's workers. Knows the folder alone.

use super::folder::Folder;
use super::{RUNS, pipeline};
use crate::faults::{Fault, Faults, distort};
use crate::host::server::Server;
use crate::schema::Generation;
use anyhow::Result;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper::{Request, Response};
use serde_json::json;
use std::time::SystemTime;
use std::{fs, path::PathBuf};
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
        let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
        let address = format!("http://{}{shorter}", host.unwrap_or_default());
        return reply(307, &[("location", &address)], "");
    };
    if *request.method() != *method {
        return reply(405, &[JSON, ("allow", method)], r#"{"detail":"Method Not Allowed"}"#);
    }
    let generation = folder.generation();
    let (report_name, last_name) = (generation.report(), pipeline::named(pipeline::COMPLETE, generation));
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
            let (exists, complete) = (found.is_some(), names.clone().any(|name| *name == last_name));
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
            let mut more = String::new();
            if generation == Generation::May {
                names.retain(|name| folder.path(run, name).is_file());
                let entry = |name: &String| {
                    let time = written(&folder.path(run, name)).unwrap_or(SystemTime::UNIX_EPOCH);
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
