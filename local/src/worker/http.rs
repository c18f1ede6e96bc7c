//! The HTTP half: the routes of `worker_plan`.
//!
//! Makes no files and changes no task.

use super::earlier::Earlier;
use super::faults::{Body, Faults, distort};
use super::runs::{RunFiles, Runs};
use super::{REPORT, archive};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_DISPOSITION, CONTENT_TYPE, HeaderName};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use hyper_util::server::graceful::GracefulShutdown;
use serde_json::json;
use std::convert::Infallible;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// For requests still open when the worker stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// The server and what its routes need.
#[derive(Clone)]
pub(super) struct Server {
    runs: Runs,
    faults: Faults,
    earlier: Earlier,
}

impl Server {
    /// A server of these runs.
    pub(super) fn new(runs: Runs, faults: Faults, earlier: Earlier) -> Self {
        Self { runs, faults, earlier }
    }

    /// Serves until the worker is to stop.
    pub(super) async fn run(self, listener: TcpListener, mut stopping: watch::Receiver<bool>) {
        let open = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = until(&mut stopping) => break,
            };
            let Ok((stream, _)) = accepted else {
                // Out of file descriptors, for example: the next one may work.
                sleep(Duration::from_millis(50)).await;
                continue;
            };
            let _ = stream.set_nodelay(true);
            let server = self.clone();
            let service = service_fn(move |request| {
                let server = server.clone();
                async move { Ok::<_, Infallible>(server.answer(&request).await) }
            });
            let connection = open.watch(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            let mut stopping = stopping.clone();
            tokio::spawn(async move {
                let farewell = async {
                    until(&mut stopping).await;
                    sleep(FAREWELL).await;
                };
                // Its error is the client's: it went away.
                tokio::select! { _ = connection => {}, () = farewell => {} }
            });
        }
        let _ = timeout(FAREWELL, open.shutdown()).await;
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let path = request.uri().path();
        let fault = self.faults.on_request(path);
        distort(fault, self.route(request.method(), path).await).await
    }

    async fn route(&self, method: &Method, path: &str) -> Response<Bytes> {
        let mut parts = path.trim_start_matches('/').splitn(3, '/');
        let (run, what) = match (parts.next(), parts.next(), parts.next()) {
            (Some("healthcheck"), None, None) => (None, "healthcheck"),
            (Some("runs"), Some(run), Some(what @ ("files" | "report" | "zip"))) => (Some(run), what),
            _ => return detail(StatusCode::NOT_FOUND, "Not Found"),
        };
        if *method != Method::GET {
            return with(
                detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"),
                ALLOW,
                "GET",
            );
        }
        let Some(run) = run else {
            let body = json!({"status": "healthy", "service": "worker_plan (sample)"});
            return answer(StatusCode::OK, "application/json", body.to_string());
        };
        match self.files(run).await {
            None => detail(StatusCode::NOT_FOUND, "Run not found"),
            Some(files) if what == "files" => list(run, &files),
            Some(files) if what == "report" => report(&files),
            Some(files) => zip(run, files).await,
        }
    }

    async fn files(&self, run: &str) -> Option<RunFiles> {
        if let Some(files) = self.runs.files(run) {
            return Some(files);
        }
        let zip = self.earlier.archive(run).await?;
        let files = tokio::task::spawn_blocking(move || archive::unpack(&zip))
            .await
            .ok()?
            .ok()?;
        self.runs.add(run, files);
        self.runs.files(run)
    }
}

/// Until the worker is to stop.
async fn until(stopping: &mut watch::Receiver<bool>) {
    // The other end is gone when the worker is.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn list(run: &str, files: &RunFiles) -> Response<Bytes> {
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    let body = json!({"run_id": run, "run_dir": format!("/app/run/{run}"), "files": names});
    answer(StatusCode::OK, "application/json", body.to_string())
}

fn report(files: &RunFiles) -> Response<Bytes> {
    match files.get(REPORT) {
        Some(report) => answer(StatusCode::OK, "text/html; charset=utf-8", report.content.clone()),
        None => detail(StatusCode::NOT_FOUND, "Report not found"),
    }
}

async fn zip(run: &str, files: RunFiles) -> Response<Bytes> {
    let packed = tokio::task::spawn_blocking(move || archive::pack(&files)).await;
    match packed.map_err(anyhow::Error::from).flatten() {
        Ok(zip) => {
            let name = format!("attachment; filename=\"{run}.zip\"");
            with(
                answer(StatusCode::OK, "application/zip", zip),
                CONTENT_DISPOSITION,
                &name,
            )
        }
        Err(error) => detail(StatusCode::INTERNAL_SERVER_ERROR, &format!("{error:#}")),
    }
}

fn detail(status: StatusCode, message: &str) -> Response<Bytes> {
    answer(status, "application/json", json!({"detail": message}).to_string())
}

fn answer(status: StatusCode, kind: &str, body: impl Into<Bytes>) -> Response<Bytes> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    with(response, CONTENT_TYPE, kind)
}

/// Without the header if its value is no header value.
fn with(mut response: Response<Bytes>, name: HeaderName, value: &str) -> Response<Bytes> {
    if let Ok(value) = value.parse() {
        response.headers_mut().insert(name, value);
    }
    response
}
