//! `GET /download/{task_id}/{file}`: the files of a plan.

use futures::StreamExt as _;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::Frame;
use http_body_util::{Either, StreamBody};

use crate::{
    artifacts,
    auth::{self, LinkKey},
    clock,
    config::{self, Access},
    db::Database,
    error::{Error, Unavailable},
    plan::{Artifact, TaskId},
    render::Response,
};

/// The report is written by language models and served from the API's own origin. It gets an origin of its own, may
/// run its inline scripts and the Gantt chart library that it loads, and reach nothing else.
const REPORT_POLICY: &str = "sandbox allow-scripts allow-popups; default-src 'none'; \
    script-src 'unsafe-inline' https://cdn.jsdelivr.net; style-src 'unsafe-inline' https://cdn.jsdelivr.net; \
    img-src data: blob:; font-src data: https://cdn.jsdelivr.net; base-uri 'none'; form-action 'none'";

/// What a request for a file brings along.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The task's id, as in the path.
    pub id: &'a str,
    /// The file's name, as in the path.
    pub file: &'a str,
    /// The query of the address, blank when there is none.
    pub query: &'a str,
}

/// Begins the download of a file.
///
/// # Errors
/// Those of the key or link, of the task, of the file.
pub async fn get(wanted: Wanted<'_>, headers: &HeaderMap, access: &Access) -> Result<Response, Error> {
    authorise(wanted, headers, access).await?;
    let id = TaskId::parse(wanted.id).ok_or(Error::TaskNotFound)?;
    let artifacts = [Artifact::Report, Artifact::Zip];
    let artifact = artifacts
        .into_iter()
        .find(|artifact| artifact.file_name() == wanted.file);
    let artifact = artifact.ok_or(Error::ContentUnavailable(Unavailable::NoSuchFile))?;
    let download = artifacts::open(&Database::configured().await?, id, artifact).await?;
    Ok(render(id, artifact, download))
}

/// A signed link is enough for its own file; all else needs the API key.
async fn authorise(wanted: Wanted<'_>, headers: &HeaderMap, access: &Access) -> Result<(), Error> {
    let by_key = auth::check_api_key(headers, access.api_key.as_deref());
    if by_key.is_ok() && access.api_key.is_some() {
        return Ok(());
    }
    let key = LinkKey::new(&config::Links::read().await?, access.api_key.as_deref());
    match key.check(wanted.query, wanted.id, wanted.file, clock::unix_time()) {
        Some(by_link) => by_link.map_err(Error::LinkRefused),
        None => by_key,
    }
}

fn render(id: TaskId, artifact: Artifact, download: artifacts::Download) -> Response {
    let body = StreamBody::new(download.pieces.map(|piece| piece.map(Frame::data)));
    let mut response = http::Response::new(Either::Right(Box::pin(body) as _));
    *response.status_mut() = StatusCode::OK;
    let headers = response.headers_mut();
    let mut set = |name, value: &str| {
        // Ids and hashes are hexadecimal: they always make a header value.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(header::CONTENT_TYPE, artifact.content_type());
    match artifact {
        Artifact::Report => {
            set(header::CONTENT_DISPOSITION, "inline; filename=\"030-report.html\"");
            set(header::CONTENT_SECURITY_POLICY, REPORT_POLICY);
        }
        Artifact::Zip => set(
            header::CONTENT_DISPOSITION,
            &format!("attachment; filename=\"{id}.zip\""),
        ),
    }
    if let Some(size) = download.size {
        set(header::CONTENT_LENGTH, &size.to_string());
    }
    if let Some(sha256) = download.sha256 {
        set(header::ETAG, &format!("\"{sha256}\""));
    }
    set(header::CACHE_CONTROL, "private, no-cache");
    response
}
