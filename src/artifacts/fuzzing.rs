//! Doors to the reading of archives for the fuzz targets, over bytes in place of a database. In no build that is
//! served.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{
    archive::{self, Names, directory, records},
    feed::Pieces,
    passing::{self, Passed},
    unpack,
};
use crate::error::Error;

/// A file in an archive.
#[derive(Debug)]
pub struct Entry(archive::Entry);

/// Lists an archive in the database of which the last `first` bytes are read first.
///
/// # Errors
/// Those of a broken archive.
pub async fn entries(archive: &Bytes, first: u64) -> Result<Vec<Entry>, Error> {
    let entries = directory(archive.len() as u64, first, |offset, length| {
        fetch(archive, offset, length)
    })
    .await?;
    Ok(entries.into_iter().map(Entry).collect())
}

/// The names of the newest files of such an archive, as they are shown.
///
/// # Errors
/// Those of a broken archive.
pub async fn newest(archive: &Bytes, first: u64, limit: usize) -> Result<Vec<String>, Error> {
    let names = records(
        archive.len() as u64,
        first,
        |offset, length| fetch(archive, offset, length),
        Names::add,
    )
    .await?;
    let newest = super::Listing::of(&names).newest(None, limit);
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
    pub async fn open(&self, archive: &Bytes, wanted: Option<Range<u64>>, slice: usize) -> Result<Pieces, Error> {
        let slices = |range: Range<u64>, _| pieces(part(archive, &range), slice);
        self.0.open(wanted, slices).await
    }
}

/// Looks for a file in an archive that passes by in slices of so many bytes; its size where that is known beforehand.
///
/// # Errors
/// Those of a broken archive.
pub async fn find(archive: Bytes, slice: usize, name: &str) -> Result<Option<(Option<u64>, Pieces)>, Error> {
    Ok(match passing::find(pieces(archive, slice), name).await? {
        Passed::Found(feed, content) => Some((content.size(), unpack::unpacked(feed, content))),
        Passed::Absent(_) => None,
    })
}

async fn fetch(archive: &Bytes, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
    Ok(part(archive, &(offset..offset + length)).to_vec())
}

fn part(archive: &Bytes, range: &Range<u64>) -> Bytes {
    let within = |offset: u64| usize::try_from(offset).map_or(archive.len(), |offset| offset.min(archive.len()));
    archive.slice(within(range.start)..within(range.end))
}

fn pieces(bytes: Bytes, slice: usize) -> Pieces {
    let mut rest = bytes;
    let cut = std::iter::from_fn(move || {
        let now = rest.split_to(rest.len().min(slice.max(1)));
        (!now.is_empty()).then_some(Ok(now))
    });
    stream::iter(cut).boxed_local()
}
