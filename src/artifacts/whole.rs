//! A file as a whole, for answers that carry it inside.

use std::time::Duration;

use futures::TryStreamExt as _;

use super::open;
use crate::{
    clock,
    db::Database,
    error::{Error, Unavailable},
    plan::{RunFile, TaskId},
};

/// How long the file may take to arrive.
const LIMIT: Duration = Duration::from_secs(25);

/// What has come of it.
#[derive(Debug)]
pub enum Whole {
    /// The file.
    Content {
        /// Its bytes.
        bytes: Vec<u8>,
        /// Whether it will not change any more.
        is_final: bool,
    },
    /// The file is larger than the caller can take.
    TooLarge {
        /// Its size, where it is known.
        size: Option<u64>,
        /// Whether it will be there for long: the database has it.
        is_stored: bool,
    },
}

/// Reads a file of at most `most` bytes.
///
/// # Errors
/// As [`open`], and those of a file that breaks off.
pub async fn read(
    database: &Database,
    id: TaskId,
    owner: Option<&str>,
    file: &RunFile,
    most: u64,
) -> Result<Whole, Error> {
    let reading = async {
        let download = open(database, id, owner, file, false).await?;
        let (size, is_stored) = (download.size, download.has_parts());
        if size.is_some_and(|size| size > most) {
            return Ok(Whole::TooLarge { size, is_stored });
        }
        let is_final = download.validator.is_some();
        let mut pieces = download.pieces(None).await?;
        let mut bytes = Vec::new();
        while let Some(piece) = pieces.try_next().await? {
            if (bytes.len() + piece.len()) as u64 > most {
                return Ok(Whole::TooLarge { size, is_stored });
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Whole::Content { bytes, is_final })
    };
    clock::within(database.request().left(LIMIT), reading)
        .await
        .ok_or(Unavailable::WorkerTimeout)?
}
