//! The archive of a run as it lies in the database: only the parts that are needed are read.

use std::{
    borrow::Cow,
    io::{self, Read, Seek, SeekFrom},
};

use zip::ZipArchive;

use super::File;
use crate::{
    db::{Database, task},
    error::{Error, Unavailable},
    plan::Artifact,
};

/// Bytes of the archive that are read at once. The directory of an ordinary run fits into one piece.
const PIECE: u64 = 64 * 1024;
/// Pieces that an archive's directory may take.
const MAX_PIECES: usize = 64;

/// The files of an archive of `size` bytes.
///
/// # Errors
/// [`Error::ContentUnavailable`] when the archive is broken, and those of the database.
pub(super) async fn list(database: &Database, id: &str, version: &str, size: u64) -> Result<Vec<File>, Error> {
    let mut reader = Sparse::new(size);
    // What is beyond the pieces shows when the directory is read: then the piece is fetched and the reading repeated.
    let mut missing = size.saturating_sub(PIECE);
    for _ in 0..MAX_PIECES {
        let length = PIECE.min(size.saturating_sub(missing));
        let bytes = task::read_artifact(database, id, Artifact::Zip, version, missing, length).await?;
        reader.add(missing, bytes);
        match ZipArchive::new(&mut reader) {
            Ok(mut archive) => return entries(&mut archive),
            Err(_) => match reader.missing.take() {
                Some(offset) => missing = offset,
                None => return Err(Unavailable::ArchiveBroken.into()),
            },
        }
    }
    Err(Unavailable::ArchiveBroken.into())
}

fn entries<R: Read + Seek>(archive: &mut ZipArchive<R>) -> Result<Vec<File>, Error> {
    let mut files = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        // The raw entry: its directory record is all that is asked, its content may lie in a piece that is not there.
        let Some(Ok(name)) = archive.name_for_index(index).map(|name| name.map(Cow::into_owned)) else {
            continue;
        };
        let updated_at = archive
            .by_index_raw(index)
            .ok()
            .and_then(|entry| entry.last_modified())
            .map(|time| {
                format!(
                    "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}Z",
                    time.year(),
                    time.month(),
                    time.day(),
                    time.hour(),
                    time.minute(),
                    time.second()
                )
            });
        files.push(File { name, updated_at });
    }
    Ok(plain_files(files))
}

/// Leaves out folders and what operating systems add, and takes the single top folder off that people's archives have.
fn plain_files(mut files: Vec<File>) -> Vec<File> {
    files.retain(|file| {
        !file.name.ends_with('/') && !file.name.starts_with("__MACOSX/") && !file.name.ends_with(".DS_Store")
    });
    let top = files
        .first()
        .and_then(|file| file.name.split_once('/'))
        .map(|(top, _)| format!("{top}/"));
    if let Some(top) = top
        && files.iter().all(|file| file.name.starts_with(&top))
    {
        for file in &mut files {
            file.name.drain(..top.len());
        }
    }
    files
}

/// A reader over a file of which only some pieces are here. Reading elsewhere fails and says where.
struct Sparse {
    size: u64,
    position: u64,
    pieces: Vec<(u64, Vec<u8>)>,
    missing: Option<u64>,
}

impl Sparse {
    fn new(size: u64) -> Self {
        Self {
            size,
            position: 0,
            pieces: Vec::new(),
            missing: None,
        }
    }

    fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.position = 0;
        self.pieces.push((offset, bytes));
    }
}

impl Read for Sparse {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let here = self.pieces.iter().find_map(|(offset, bytes)| {
            let start = usize::try_from(self.position.checked_sub(*offset)?).ok()?;
            bytes.get(start..).filter(|rest| !rest.is_empty())
        });
        let Some(mut rest) = here else {
            self.missing = Some(self.position);
            return Err(io::Error::other("this piece is not here"));
        };
        let read = rest.read(buffer)?;
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Sparse {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.size.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
