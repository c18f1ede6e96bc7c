//! Finds one entry in a zip archive that is read as a stream, as `worker_plan` sends it. Skips the entries before it and
//! does not read those after it. Memory use does not depend on the size of the archive.
//!
//! The directory at the end is not read, so of two entries with the same name the first one is found.

use super::{
    byte_reader::{ByteReader, ByteStream},
    zip_entry::{Content, LOCAL_HEADER, LocalHeader},
};
use crate::error::{Error, Unavailable};

/// Limit for the bytes that are unpacked to skip the entries before the wanted one.
const MAX_UNPACKED: u64 = 10 * super::MAX_SIZE;

/// The result of a search.
pub(crate) enum Search {
    /// The entry was found: the reader is at the beginning of its content.
    Found(ByteReader, Content),
    /// The archive has no such entry. Holds the folder that all of its entries are in, if there is one.
    Absent(Option<String>),
}

/// Finds the entry with this name.
///
/// # Errors
/// [`Error::ContentUnavailable`] when the archive is broken, or when the entry or one before it is not supported.
pub(crate) async fn find_entry(stream: ByteStream, name: &str) -> Result<Search, Error> {
    let mut reader = ByteReader::new(stream);
    let mut common = CommonFolder::NoEntries;
    let mut unpacked = 0;
    loop {
        match reader.read_array().await? {
            LOCAL_HEADER => {}
            // The directory at the end, or a record that may precede it.
            [b'P', b'K', 1 | 5 | 6, _] => return Ok(Search::Absent(common.name())),
            _ => return Err(Unavailable::ArchiveBroken.into()),
        }
        let header = LocalHeader::read_from(&mut reader).await?;
        if header.name == name.as_bytes() {
            let content = header.content()?;
            return Ok(Search::Found(reader, content));
        }
        common = common.with(&String::from_utf8_lossy(&header.name));
        unpacked += header.skip_content(&mut reader).await?;
        if unpacked > MAX_UNPACKED {
            return Err(Unavailable::TooLarge.into());
        }
    }
}

/// The top folder that all entries so far have in common.
enum CommonFolder {
    NoEntries,
    Folder(String),
    None,
}

impl CommonFolder {
    fn with(self, name: &str) -> Self {
        if super::stored_zip::is_folder_or_os_metadata(name.as_bytes()) {
            return self;
        }
        match (self, name.split_once('/')) {
            (Self::NoEntries, Some((folder, _))) => Self::Folder(folder.to_owned()),
            (Self::Folder(folder), Some((other, _))) if folder == other => Self::Folder(folder),
            _ => Self::None,
        }
    }

    fn name(self) -> Option<String> {
        match self {
            Self::Folder(folder) => Some(folder),
            Self::NoEntries | Self::None => None,
        }
    }
}
