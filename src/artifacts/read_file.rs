//! Reads a whole file into memory, for answers that contain it.

use std::time::Duration;

use futures::TryStreamExt as _;

use super::open_file;
use crate::{
    clock,
    db::Database,
    error::{Error, Unavailable},
    plan::{RunFile, TaskId},
};

/// Time limit for opening and reading the file.
const TIME_LIMIT: Duration = Duration::from_secs(25);

/// A file in memory, or why it is not.
#[derive(Debug)]
pub enum FileContent {
    /// The file.
    Complete {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether its content can no longer change.
        is_final: bool,
    },
    /// The file is larger than the limit.
    TooLarge {
        /// Its size, where it is known.
        size: Option<u64>,
        /// Whether the database has the file. Otherwise only `worker_plan` has it, and deletes it within seconds.
        is_stored: bool,
    },
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open_file`], and those of a transfer that breaks off.
pub async fn read_file(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    file: &RunFile,
    limit: u64,
) -> Result<FileContent, Error> {
    let reading = async {
        let download = open_file(database, id, owner, file, false).await?;
        let (size, is_stored) = (download.size, download.supports_ranges());
        if size.is_some_and(|size| size > limit) {
            return Ok(FileContent::TooLarge { size, is_stored });
        }
        let is_final = download.validator.is_some();
        let mut stream = download.into_stream(None).await?;
        let mut bytes = Vec::new();
        while let Some(chunk) = stream.try_next().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Ok(FileContent::TooLarge { size, is_stored });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(FileContent::Complete { bytes, is_final })
    };
    clock::within(database.request().left(TIME_LIMIT), reading)
        .await
        .ok_or(Unavailable::WorkerTimeout)?
}
