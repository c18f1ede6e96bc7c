//! An artifact in the database, read slice by slice.

use std::{ops::Range, rc::Rc};

use bytes::Bytes;
use futures::{Stream, stream};

use crate::{
    db::{
        Database,
        parts::hash_parts,
        task::{self, Stored},
    },
    error::Error,
    plan::{Artifact, TaskId},
};

/// Bytes of an archive that one statement reads.
const ZIP_SLICE: u64 = 256 * 1024;
/// Bytes of a report that one statement reads. Postgres decompresses the whole report for each slice.
const REPORT_SLICE: u64 = 1024 * 1024;

/// Streams a range of an artifact, as it is handed out. Each slice is a statement of its own with its own time limit, so
/// that a slow client holds no connection. The first slice has at most `first` bytes.
pub(super) fn slices(
    database: Database,
    id: TaskId,
    artifact: Artifact,
    stored: Stored,
    range: Range<u64>,
    first: u64,
) -> impl Stream<Item = Result<Bytes, Error>> {
    let max_length = match artifact {
        Artifact::Report => REPORT_SLICE,
        Artifact::Zip => ZIP_SLICE,
    };
    stream::try_unfold(
        (stored, range.start, first.min(max_length)),
        move |(mut stored, offset, length)| {
            let database = database.renewed();
            let end = range.end;
            async move {
                if offset >= end {
                    return Ok(None);
                }
                let mut length = length.min(end - offset);
                let parts = stored.parts.clone();
                let bytes = match parts
                    .as_ref()
                    .map_or(Ok(offset..u64::MAX), |parts| parts.locate(offset))
                {
                    Ok(place) => {
                        length = length.min(place.end - place.start);
                        read_slice(&database, id, artifact, &mut stored, place.start, length).await?
                    }
                    Err(offset) => {
                        let tail = parts.iter().flat_map(|parts| &parts.tail);
                        tail.skip(offset as usize).take(length as usize).copied().collect()
                    }
                };
                Ok(Some((bytes, (stored, offset + length, max_length))))
            }
        },
    )
}

/// Reads one slice of an artifact. Other services update the row meanwhile: PlanExe's worker when the task ends, its web
/// frontend when a user opens the task. An update gives the row a new version. Reading continues with that version when
/// the artifact's size and hash are unchanged. Where one entry of an archive is read, the archive's hash is unknown, since
/// computing it takes some tenths of a second for a large archive; the entry's own checksum is verified instead.
pub(super) async fn read_slice(
    database: &Database,
    id: TaskId,
    artifact: Artifact,
    stored: &mut Stored,
    offset: u64,
    length: u64,
) -> Result<Bytes, Error> {
    const ATTEMPTS: usize = 5;
    let changed = || Error::Internal("the artifact changed while it was read".to_owned());
    for _ in 0..ATTEMPTS {
        if let Some(bytes) = task::read_artifact(database, id, artifact, stored, offset, length).await? {
            return if bytes.len() as u64 == length {
                Ok(bytes.into())
            } else {
                Err(Error::Internal("the artifact is shorter than its size".to_owned()))
            };
        }
        let now = if let Some(parts) = &stored.parts {
            hash_parts(database, id, Rc::clone(parts)).await?
        } else {
            let wanted = stored.sha256.as_ref().map(|_| artifact);
            // No owner: access was checked before the first slice.
            match task::find_artifacts(database, id, None, wanted, 0).await {
                Err(Error::TaskNotFound) => None,
                found => found.map(|found| if wanted.is_some() { found.wanted } else { found.archive })?,
            }
        };
        match now {
            Some(now) if now.size == stored.size && now.sha256 == stored.sha256 => *stored = now,
            _ => return Err(changed()),
        }
    }
    Err(Error::DatabaseUnavailable(
        "the row changed again and again while it was read".to_owned(),
    ))
}
