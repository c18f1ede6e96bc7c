//! A file that has been found, before it is sent.

use std::ops::Range;

use futures::StreamExt as _;

use super::{
    byte_reader::ByteStream,
    handed_out,
    slices::slices,
    stored_zip::{Entry, StoredZip},
};
use crate::{
    clock,
    db::{
        Database,
        task::{self, Stored},
    },
    error::Error,
    plan::{Artifact, TaskId},
};

/// A file that can be streamed. Its content is not read from the database before [`Download::into_stream`].
pub struct Download {
    /// In bytes, where it is known before reading.
    pub size: Option<u64>,
    /// Changes whenever the content changes: the hex SHA-256 of an artifact, or checksum and size of an archive's entry.
    /// `None` where neither is known before reading.
    pub validator: Option<String>,
    /// Whether the task has ended. The file does not change after that.
    pub(super) has_ended: bool,
    /// Unix time of that, where the task's row has it.
    pub(super) ended: Option<u64>,
    source: Source,
}

/// Where a file comes from.
pub(super) enum Source {
    Artifact {
        database: Database,
        id: TaskId,
        artifact: Artifact,
        stored: Stored,
    },
    Entry(StoredZip, Entry),
    WorkerPlan(ByteStream),
}

impl Download {
    /// Whether byte ranges of the file can be sent. `worker_plan` builds its archives anew for each call, so ranges of two
    /// calls do not fit together.
    #[must_use]
    pub fn supports_ranges(&self) -> bool {
        !matches!(self.source, Source::WorkerPlan(_))
    }

    /// The content, or a byte range of it, which must lie inside the file.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the archive is broken where the file should begin, and those of the database.
    pub async fn into_stream(self, range: Option<Range<u64>>) -> Result<ByteStream, Error> {
        match self.source {
            Source::Artifact {
                database,
                id,
                artifact,
                stored,
            } => {
                let range = range.unwrap_or(0..handed_out(&stored));
                Ok(slices(database, id, artifact, stored, range, u64::MAX).boxed_local())
            }
            Source::Entry(archive, entry) => archive.open_entry(&entry, range).await,
            Source::WorkerPlan(stream) => Ok(stream),
        }
    }

    /// Unix time of the task's end, where it is known and the file does not change any more.
    pub async fn end(&self, database: &Database, id: TaskId) -> Option<u64> {
        if !self.has_ended || !self.supports_ranges() {
            return None;
        }
        let ended = match self.ended {
            None => task::find_event(database, id).await.at,
            ended => ended,
        };
        ended.filter(|at| *at <= clock::unix_time())
    }

    /// A file that `worker_plan` sends.
    pub(super) fn from_worker(size: Option<u64>, stream: ByteStream) -> Self {
        Self::new(size, None, Source::WorkerPlan(stream))
    }

    pub(super) fn new(size: Option<u64>, validator: Option<String>, source: Source) -> Self {
        Self {
            size,
            validator,
            has_ended: false,
            ended: None,
            source,
        }
    }

    pub(super) fn from_entry(archive: StoredZip, entry: Entry) -> Result<Self, Error> {
        let (size, validator) = (entry.content()?.size(), entry.fingerprint());
        Ok(Self::new(size, Some(validator), Source::Entry(archive, entry)))
    }
}
