//! Makes private parsers available to the fuzz targets. Compiled only for fuzzing.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{HeaderMap, StatusCode};

use crate::{
    artifacts::{
        ByteStream, RunFiles,
        stored_zip::{self, FileNames, list_entries, read_directory},
        zip_entry,
        zip_stream::{self, Search},
    },
    auth::caller::Key,
    config,
    error::Error,
    mcp::{
        Envelope, Fault,
        message::{Incoming, answer, read_message, refusal},
        revision::{self, Lifecycle, resolve},
    },
    plan::{RunFile, TaskId},
    request,
    routes::download::{
        self,
        conditions::{Decision, FileMeta, evaluate},
    },
};

/// A JSON-RPC message after parsing.
#[derive(Debug)]
pub enum Message {
    /// A request.
    Request {
        /// The JSON text of its id.
        id: String,
        /// The method.
        method: String,
        /// The JSON text of its arguments.
        arguments: Option<String>,
        /// An answer to it, with an empty result.
        answer: String,
        /// Whether it uses the modern revision, or the error of its envelope.
        modern: Result<bool, Fault>,
    },
    /// A notification, which is not answered.
    Notification,
    /// An answer to the server.
    Response,
    /// An invalid message.
    Refused {
        /// The code of the refusal.
        code: i64,
        /// The JSON text of the id that the refusal goes to.
        id: Option<String>,
        /// The refusal.
        answer: String,
    },
}

/// Parses a JSON-RPC message and answers it.
#[must_use]
pub fn message(text: &str, envelope: &Envelope<'_>) -> Message {
    match read_message(text) {
        Ok(Incoming::Request(request)) => Message::Request {
            id: request.id.0.get().to_owned(),
            method: request.method.clone(),
            arguments: request.params.arguments.map(|raw| raw.get().to_owned()),
            answer: answer(request.id, "{}"),
            modern: resolve(&request, envelope).map(|revision| revision.lifecycle == Lifecycle::Modern),
        },
        Ok(Incoming::Notification) => Message::Notification,
        Ok(Incoming::Response) => Message::Response,
        Err((fault, id)) => Message::Refused {
            code: fault.code,
            id: id.map(|id| id.0.get().to_owned()),
            answer: refusal(id, &fault),
        },
    }
}

/// Reads the value of an `Mcp-Name` header.
#[must_use]
pub fn decode_name(header: &str) -> Option<String> {
    revision::decode_name(header)
}

/// The id under which a request is logged.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    request::request_id(headers, Key::presented(headers).as_ref())
}

/// The address of a database from its parts.
#[must_use]
pub fn database_address(user: &str, password: &str, host: &str, port: &str, database: &str) -> String {
    config::address::database_uri(user, password, host, port, database)
}

/// The address of a database from one that `SQLAlchemy` knows; `None` for an address that is not of Postgres.
#[must_use]
pub fn normalised_database_address(uri: &str) -> Option<String> {
    config::address::normalise_database_uri(uri)
}

/// The status and the byte range that a request for a file is answered with.
#[must_use]
pub fn evaluate_conditions(
    headers: &HeaderMap,
    is_head: bool,
    etag: Option<&str>,
    modified: Option<&str>,
    size: Option<u64>,
) -> (StatusCode, Option<Range<u64>>) {
    match evaluate(headers, is_head, FileMeta { etag, modified, size }) {
        Decision::Full => (StatusCode::OK, None),
        Decision::NotModified => (StatusCode::NOT_MODIFIED, None),
        Decision::Partial(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Decision::RangeNotSatisfiable => (StatusCode::RANGE_NOT_SATISFIABLE, None),
    }
}

/// The headers that describe a file.
#[must_use]
pub fn file_headers(file: &RunFile, id: TaskId) -> HeaderMap {
    download::file_headers(file, id, None).headers().clone()
}

/// A file in an archive.
#[derive(Debug)]
pub struct Entry(stored_zip::Entry);

/// Lists an archive in the database of which the last `first` bytes are read first.
///
/// # Errors
/// Those of a broken archive.
pub async fn entries(archive: &Bytes, first: u64) -> Result<Vec<Entry>, Error> {
    let fetch = async |offset, length| fetch(archive, offset, length);
    let entries = list_entries(archive.len() as u64, first, fetch).await?;
    Ok(entries.into_iter().map(Entry).collect())
}

/// The names of the newest files of such an archive, as they are shown.
///
/// # Errors
/// Those of a broken archive.
pub async fn newest(archive: &Bytes, first: u64, limit: usize) -> Result<Vec<String>, Error> {
    let fetch = async |offset, length| fetch(archive, offset, length);
    let names = read_directory(archive.len() as u64, first, fetch, FileNames::add).await?;
    let newest = RunFiles::from_names(&names).newest(None, limit);
    Ok(newest.into_iter().map(|file| file.name).collect())
}

impl Entry {
    /// The name as callers know it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.name()
    }

    /// In bytes, where such a file is handed out.
    #[must_use]
    pub fn size(&self) -> Option<u64> {
        self.0.content().ok()?.size()
    }

    /// Begins to read the file, or a part of it, in slices of so many bytes.
    ///
    /// # Errors
    /// Those of a broken archive.
    pub async fn open(&self, archive: &Bytes, range: Option<Range<u64>>, slice: usize) -> Result<ByteStream, Error> {
        let stream_archive = |range: Range<u64>, _| stream_of(part(archive, &range), slice);
        self.0.open(range, stream_archive).await
    }
}

/// Looks for a file in an archive that is read as a stream, in slices of so many bytes; its size where that is known
/// beforehand.
///
/// # Errors
/// Those of a broken archive.
pub async fn find_entry(archive: Bytes, slice: usize, name: &str) -> Result<Option<(Option<u64>, ByteStream)>, Error> {
    Ok(match zip_stream::find_entry(stream_of(archive, slice), name).await? {
        Search::Found(reader, content) => Some((content.size(), zip_entry::unpacked(reader, content))),
        Search::Absent(_) => None,
    })
}

fn fetch(archive: &Bytes, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    Ok(part(archive, &(offset..offset + length)).to_vec())
}

fn part(archive: &Bytes, range: &Range<u64>) -> Bytes {
    let within = |offset: u64| usize::try_from(offset).map_or(archive.len(), |offset| offset.min(archive.len()));
    archive.slice(within(range.start)..within(range.end))
}

fn stream_of(bytes: Bytes, slice: usize) -> ByteStream {
    let mut rest = bytes;
    let cut = std::iter::from_fn(move || {
        let now = rest.split_to(rest.len().min(slice.max(1)));
        (!now.is_empty()).then_some(Ok(now))
    });
    stream::iter(cut).boxed_local()
}
