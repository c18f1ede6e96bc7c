//! Finds one entry in an archive that is read as a stream, from front to back, as `worker_plan` sends it. Earlier entries
//! are skipped, later ones are not read. Memory does not grow with the archive.
//!
//! The directory at the end is never seen, so of two entries with the same name the first one counts.

use super::{
    feed::{Feed, Pieces},
    unpack::{Content, LOCAL_HEADER, LocalHeader},
};
use crate::error::{Error, Unavailable};

/// Bytes that may be unpacked on the way to an entry.
const MAX_UNPACKED: u64 = 10 * super::MAX_SIZE;

/// What a search has come to.
pub(crate) enum Passed {
    /// The content of the entry comes next.
    Found(Feed, Content),
    /// The archive has no such entry; with the folder that all of its entries are in, when there is one.
    Absent(Option<String>),
}

/// Looks for the entry of this name.
///
/// # Errors
/// [`Error::ContentUnavailable`] when the archive is broken or the entry, or one in front of it, cannot be read here.
pub(crate) async fn find(pieces: Pieces, name: &str) -> Result<Passed, Error> {
    let mut feed = Feed::new(pieces);
    let mut top = Top::Unseen;
    let mut unpacked = 0;
    loop {
        match feed.take().await? {
            LOCAL_HEADER => {}
            // The directory, or what there may be in front of it.
            [b'P', b'K', 1 | 5 | 6, _] => return Ok(Passed::Absent(top.folder())),
            _ => return Err(Unavailable::ArchiveBroken.into()),
        }
        let header = LocalHeader::read(&mut feed).await?;
        if header.name == name.as_bytes() {
            let content = header.content()?;
            return Ok(Passed::Found(feed, content));
        }
        top = top.with(&String::from_utf8_lossy(&header.name));
        unpacked += header.skip(&mut feed).await?;
        if unpacked > MAX_UNPACKED {
            return Err(Unavailable::TooLarge.into());
        }
    }
}

/// The folder that all entries so far are in.
enum Top {
    Unseen,
    Folder(String),
    None,
}

impl Top {
    fn with(self, name: &str) -> Self {
        if super::archive::is_clutter(name.as_bytes()) {
            return self;
        }
        match (self, name.split_once('/')) {
            (Self::Unseen, Some((folder, _))) => Self::Folder(folder.to_owned()),
            (Self::Folder(folder), Some((other, _))) if folder == other => Self::Folder(folder),
            _ => Self::None,
        }
    }

    fn folder(self) -> Option<String> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::Unseen | Self::None => None,
        }
    }
}
