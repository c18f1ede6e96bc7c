//! An archive that is handed out in parts: some of what is stored, then bytes that are not stored.

use std::{fmt::Write as _, ops::Range, rc::Rc};

use base64ct::{Base64, Encoding as _};

use super::{Database, task::Stored, text, unsigned};
use crate::{error::Error, plan::TaskId};

/// What an archive is put together from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts {
    /// Ranges of the stored archive, in bytes, in their order. Two of them never touch.
    pub kept: Vec<Range<u64>>,
    /// The bytes after them.
    pub tail: Vec<u8>,
}

impl Parts {
    /// The size of all parts together, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.kept_length() + self.tail.len() as u64
    }

    /// The size of the ranges, in bytes.
    #[must_use]
    pub fn kept_length(&self) -> u64 {
        self.kept.iter().map(|range| range.end - range.start).sum()
    }

    /// Adds a range of the stored archive, which begins where the last one ends, or after it.
    pub fn keep(&mut self, range: Range<u64>) {
        match self.kept.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.kept.push(range),
        }
    }

    /// Where the byte at `offset` is stored: from there to the end of its part.
    ///
    /// # Errors
    /// For a byte of the tail, its offset there.
    pub fn locate(&self, mut offset: u64) -> Result<Range<u64>, u64> {
        for range in &self.kept {
            let length = range.end - range.start;
            if offset < length {
                return Ok(range.start + offset..range.end);
            }
            offset -= length;
        }
        Err(offset)
    }
}

/// Describes the archive of a task that is handed out in these parts; `None` when the task or its archive is gone.
///
/// # Errors
/// Those of [`Database::query`].
pub async fn hash_parts(database: &Database, id: TaskId, parts: Rc<Parts>) -> Result<Option<Stored>, Error> {
    let mut ranges = "{".to_owned();
    for Range { start, end } in &parts.kept {
        let comma = if ranges.len() > 1 { "," } else { "" };
        // Writing to a String does not fail.
        let _ = write!(ranges, "{comma}\"[{start},{end})\"");
    }
    ranges.push('}');
    let parameters = vec![
        text(id.to_string()),
        text(ranges),
        text(Base64::encode_string(&parts.tail)),
    ];
    let mut row = database.query(include_str!("hash_parts.sql"), parameters).await?;
    let (size, version) = (unsigned(row.take("size")?), row.take::<Option<String>>("version")?);
    let sha256 = row.take("sha256")?;
    Ok(size.zip(version).map(|(size, version)| Stored {
        size,
        sha256,
        version,
        parts: Some(parts),
    }))
}
