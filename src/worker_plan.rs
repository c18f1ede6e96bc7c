//! The `worker_plan` service through the host's outbound HTTP: the files of a run while the database lacks them.

use std::{
    future::Future,
    rc::Rc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use crate::{
    clock, config,
    error::{Error, Unavailable},
    host::{self, Answer, Broken},
    json,
    plan::{Artifact, TaskId},
    request,
};

/// Time limit for all lists of files of one request together.
const LIST_LIMIT: Duration = Duration::from_secs(2);
/// Time limit for the start of a file, and for each wait for more of it.
const FILE_LIMIT: Duration = Duration::from_secs(10);
/// A larger list is refused.
const MAX_LIST_BYTES: usize = 1 << 20;

/// The service of the settings.
#[derive(Debug)]
pub struct WorkerPlan {
    base: String,
    request: Rc<request::Context>,
}

/// The answer of `GET /runs/{task_id}/files`.
#[derive(Deserialize)]
struct FilesBody {
    files: Vec<String>,
    /// Since March 2026.
    #[serde(default)]
    files_with_timestamps: Vec<ListedFile>,
}

/// A file in that answer.
#[derive(Deserialize)]
struct ListedFile {
    name: String,
    /// RFC 3339, UTC.
    updated_at: String,
}

/// The response to a request for a file, before its content is read.
pub struct FileResponse {
    /// Its size in bytes, where the service says so.
    pub size: Option<u64>,
    response: Answer,
}

impl WorkerPlan {
    /// The service of the settings.
    ///
    /// # Errors
    /// [`Error::Internal`] when the host cannot resolve the setting.
    pub async fn configured(cx: &Rc<request::Context>) -> Result<Self, Error> {
        Ok(Self {
            base: config::worker_plan_url().await?,
            request: Rc::clone(cx),
        })
    }

    /// Whether the service reports within `limit` that it is healthy.
    ///
    /// # Errors
    /// Why it is not.
    pub async fn check_health(&self, limit: Duration) -> Result<(), Unavailable> {
        self.within(limit, self.get("/healthcheck")).await.map(drop)
    }

    /// A call with a time limit, measured.
    async fn within<T>(
        &self,
        limit: Duration,
        call: impl Future<Output = Result<T, Unavailable>>,
    ) -> Result<T, Unavailable> {
        let begun = Instant::now();
        let result = clock::within(self.request.left(limit), call).await;
        self.request.add_worker(begun.elapsed());
        result.unwrap_or(Err(Unavailable::WorkerTimeout))
    }

    /// Names of the files of a run, sorted by name, and Unix times of their last changes.
    ///
    /// # Errors
    /// Why there is no list.
    pub async fn list_files(&self, id: TaskId) -> Result<Vec<(String, Option<i64>)>, Unavailable> {
        let call = async {
            let mut body = self.get(&format!("/runs/{id}/files")).await?.into_body();
            let mut list = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|_| Unavailable::WorkerBroken)?;
                list.extend_from_slice(frame.data_ref().map(Bytes::as_ref).unwrap_or_default());
                if list.len() > MAX_LIST_BYTES {
                    return Err(Unavailable::WorkerBroken);
                }
            }
            let list = str::from_utf8(&list).ok();
            list.and_then(|list| json::object::<FilesBody>(list).ok())
                .ok_or(Unavailable::WorkerBroken)
        };
        let left = LIST_LIMIT.saturating_sub(self.request.worker());
        let listing = self.within(left, call).await?;
        if listing.files_with_timestamps.is_empty() {
            return Ok(listing.files.into_iter().map(|name| (name, None)).collect());
        }
        let files = listing.files_with_timestamps.into_iter();
        Ok(files
            .map(|file| (file.name, clock::read_rfc3339(&file.updated_at)))
            .collect())
    }

    /// Begins the transfer of an artifact.
    ///
    /// # Errors
    /// Why the file cannot be transferred.
    pub async fn open_artifact(&self, id: TaskId, artifact: Artifact) -> Result<FileResponse, Unavailable> {
        let path = match artifact {
            Artifact::Report => format!("/runs/{id}/report"),
            Artifact::Zip => format!("/runs/{id}/zip"),
        };
        let response = self.within(FILE_LIMIT, self.get(&path)).await?;
        let length = response.headers().get(http::header::CONTENT_LENGTH);
        let size = length.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok(FileResponse { size, response })
    }

    async fn get(&self, path: &str) -> Result<Answer, Unavailable> {
        let answer = host::get(&format!("{}{path}", self.base)).await.map_err(unavailable)?;
        match answer.status().as_u16() {
            200 => Ok(answer),
            404 => Err(Unavailable::NoSuchFile),
            status => Err(Unavailable::WorkerStatus(status)),
        }
    }
}

/// What an error of the transport means.
fn unavailable(broken: Broken) -> Unavailable {
    match broken {
        Broken::Timeout => Unavailable::WorkerTimeout,
        Broken::Protocol => Unavailable::WorkerBroken,
        Broken::Unreachable => Unavailable::WorkerUnreachable,
    }
}

impl FileResponse {
    /// The content as it arrives. A transfer that stalls, breaks off, or differs in length from `Content-Length` ends in an
    /// error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, Unavailable>> {
        let state = (self.response.into_body(), self.size, 0_u64);
        stream::try_unfold(state, |(mut body, size, mut received)| async move {
            loop {
                let frame = clock::within(FILE_LIMIT, body.frame())
                    .await
                    .ok_or(Unavailable::WorkerTimeout)?;
                match frame {
                    None if size.is_some_and(|size| size != received) => return Err(Unavailable::WorkerBroken),
                    None => return Ok(None),
                    Some(Err(error)) => return Err(unavailable(host::broken(&error))),
                    Some(Ok(frame)) => {
                        // A frame without data holds trailers, which are ignored.
                        let Ok(data) = frame.into_data() else { continue };
                        received += data.len() as u64;
                        if size.is_some_and(|size| received > size) {
                            return Err(Unavailable::WorkerBroken);
                        }
                        return Ok(Some((data, (body, size, received))));
                    }
                }
            }
        })
    }
}
