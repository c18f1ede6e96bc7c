//! Doors to what a download reads of a request and says of a file, for the fuzz targets. In no build that is served.

use std::ops::Range;

use http::{HeaderMap, StatusCode};

use super::{
    conditions::{Known, Wants, decide},
    described,
};
use crate::plan::{RunFile, TaskId};

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
pub fn headers(file: &RunFile, id: TaskId) -> HeaderMap {
    described(file, id, None).headers().clone()
}
