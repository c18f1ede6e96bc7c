//! What the fuzz targets need of private modules: what reads bytes from outside. In no build that is served.

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
        frame::{Incoming, answer, read, refusal},
        revision::{Era, decode_name, spoken},
    },
    plan::{RunFile, TaskId},
    request,
    routes::download::{
        conditions::{Known, Wants, decide},
        described,
    },
};

/// What a message of JSON-RPC has been read as.
#[derive(Debug)]
pub enum Read {
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
        /// Whether it speaks the revision without a handshake, or why its envelope is refused.
        modern: Result<bool, Fault>,
    },
    /// Wants no answer.
    Notification,
    /// Answers us.
    Response,
    /// No message.
    Refused {
        /// The code of the refusal.
        code: i64,
        /// The JSON text of the id that the refusal goes to.
        id: Option<String>,
        /// The refusal.
        answer: String,
    },
}

/// Reads a message of JSON-RPC, and answers it.
#[must_use]
pub fn message(text: &str, envelope: &Envelope<'_>) -> Read {
    match read(text) {
        Ok(Incoming::Request(request)) => Read::Request {
            id: request.id.0.get().to_owned(),
            method: request.method.clone(),
            arguments: request.params.arguments.map(|raw| raw.get().to_owned()),
            answer: answer(request.id, "{}"),
            modern: spoken(&request, envelope).map(|spoken| spoken.era == Era::Modern),
        },
        Ok(Incoming::Notification) => Read::Notification,
        Ok(Incoming::Response) => Read::Response,
        Err((fault, id)) => Read::Refused {
            code: fault.code,
            id: id.map(|id| id.0.get().to_owned()),
            answer: refusal(id, &fault),
        },
    }
}

/// Reads the value of an `Mcp-Name` header.
#[must_use]
pub fn name(header: &str) -> Option<String> {
    decode_name(header)
}

/// The id under which a request is logged.
#[must_use]
pub fn request_id(headers: &HeaderMap) -> String {
    request::request_id(headers, Key::presented(headers).as_ref())
}

/// The address of a database from its parts.
#[must_use]
pub fn database_address(user: &str, password: &str, host: &str, port: &str, database: &str) -> String {
    config::database_uri(user, password, host, port, database)
}

/// The address of a database from one that `SQLAlchemy` knows; `None` for an address that is not of Postgres.
#[must_use]
pub fn normalised_database_address(uri: &str) -> Option<String> {
    config::normalise_database_uri(uri)
}

/// What of a file is sent, and under which status.
#[must_use]
pub fn wanted(
    headers: &HeaderMap,
    is_head: bool,
    etag: Option<&str>,
    modified: Option<&str>,
    size: Option<u64>,
) -> (StatusCode, Option<Range<u64>>) {
    match decide(headers, is_head, Known { etag, modified, size }) {
        Wants::Whole => (StatusCode::OK, None),
        Wants::NotModified => (StatusCode::NOT_MODIFIED, None),
        Wants::Part(range) => (StatusCode::PARTIAL_CONTENT, Some(range)),
        Wants::Beyond => (StatusCode::RANGE_NOT_SATISFIABLE, None),
    }
}

/// The headers that describe a file.
#[must_use]
pub fn file_headers(file: &RunFile, id: TaskId) -> HeaderMap {
    described(file, id, None).headers().clone()
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
