//! The archive of a run as it lies in the database: only the parts that are needed are read.

use std::{
    cell::Cell,
    io::{self, Write as _},
    ops::Range,
};

use futures::StreamExt as _;
use rawzip::{RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipFileHeaderRecord, ZipLocator};

use super::{
    MAX_SIZE,
    feed::{Feed, Pieces, window},
    listing::Moment,
    read_slice, slices,
    unpack::{Content, HEADER_LENGTH, LOCAL_HEADER, LocalHeader, Method, unpacked},
};
use crate::{
    db::{Database, task::Stored},
    error::{Error, Unavailable},
    plan::{Artifact, TaskId},
};

/// Bytes of an archive's end that are read first. The directory of an ordinary run fits in: that of 196 files takes
/// 24 kB.
pub const END_LENGTH: u32 = 32 * 1024;
/// Bytes that the directory of an archive may take.
const MAX_DIRECTORY: u64 = 8 * 1024 * 1024;
/// Bytes that extra fields usually take in a local header.
const USUAL_EXTRA: u64 = 64;

/// An archive in the database.
pub(super) struct Archive {
    database: Database,
    id: TaskId,
    stored: Stored,
}

/// A file in an archive, as the archive's directory describes it.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    /// Where the name as callers know it begins in `name`.
    inner: usize,
    /// The name's bytes, when they are not UTF-8.
    raw_name: Option<Vec<u8>>,
    header_start: u64,
    compressed: u64,
    size: u64,
    crc: u32,
    method: Result<Method, Unavailable>,
}

/// The names in an archive and when their files were last changed, without all else that a directory holds: a list is
/// asked for every few minutes, an entry once.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// One after the other.
    bytes: Vec<u8>,
    /// Where each begins and ends.
    files: Vec<(Range<usize>, Option<Moment>)>,
}

impl Names {
    pub(crate) fn add(&mut self, record: &ZipFileHeaderRecord<'_>) {
        let path = record.file_path();
        if is_clutter(path.as_ref()) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(path.as_ref());
        let modified = record.last_modified_dos();
        let modified = Moment::new(modified.packed_date(), modified.packed_time());
        self.files.push((start..self.bytes.len(), modified));
    }

    /// The files, each with its name as callers know it, which may lead out of the run.
    pub(super) fn files(&self) -> impl Iterator<Item = (Option<Moment>, &[u8])> {
        let name = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let inner = top_folder(self.files.iter().map(|(range, _)| name(range)));
        let files = self.files.iter();
        files.map(move |(range, modified)| (*modified, name(range).get(inner..).unwrap_or_default()))
    }
}

impl Archive {
    /// The archive of a task.
    pub(super) fn new(database: &Database, id: TaskId, stored: Stored) -> Self {
        Self {
            database: database.renewed(),
            id,
            stored,
        }
    }

    /// The entry of this name, in the archive of which `end` holds the last bytes. Of two with the same name the last one counts, as in programs that unpack.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the archive is too large or broken, and those of the database.
    pub(super) async fn find(&self, name: &str, end: Option<Vec<u8>>) -> Result<Option<Entry>, Error> {
        if self.stored.size > MAX_SIZE {
            return Err(Unavailable::ArchiveTooLarge.into());
        }
        let entries = directory(self.stored.size, END_LENGTH.into(), self.fetch(end)).await?;
        Ok(entries.into_iter().rev().find(|entry| entry.name() == name))
    }

    /// Reads of the archive, of which `end` holds the last bytes.
    fn fetch(&self, end: Option<Vec<u8>>) -> impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error> {
        let end = Cell::new(end);
        async move |offset, length| match end.take() {
            Some(bytes) => Ok(bytes),
            None => self.read(offset, length).await,
        }
    }

    /// The names in the archive, of which `end` holds the last bytes.
    ///
    /// # Errors
    /// As [`Archive::find`].
    pub(super) async fn names(&self, end: Vec<u8>) -> Result<Names, Error> {
        records(self.stored.size, END_LENGTH.into(), self.fetch(Some(end)), Names::add).await
    }

    async fn read(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let mut stored = self.stored.clone();
        let bytes = read_slice(&self.database, self.id, Artifact::Zip, &mut stored, offset, length).await?;
        Ok(bytes.into())
    }

    /// Begins to read an entry, or a part of it.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the entry is broken or cannot be read here, and those of the database.
    pub(super) async fn open(&self, entry: &Entry, part: Option<Range<u64>>) -> Result<Pieces, Error> {
        entry.open(part, |range, first| self.slices(range, first)).await
    }

    /// Bytes of the archive, the first slice of them not longer than `first`.
    fn slices(&self, range: Range<u64>, first: u64) -> Pieces {
        let range = range.start..range.end.min(self.stored.size);
        let (database, stored) = (self.database.clone(), self.stored.clone());
        slices(database, self.id, Artifact::Zip, stored, range, first).boxed_local()
    }
}

/// The entries of an archive, read as [`records`] reads it.
pub(crate) async fn directory(
    size: u64,
    length: u64,
    fetch: impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error>,
) -> Result<Vec<Entry>, Error> {
    let add = |entries: &mut Vec<Entry>, record: &ZipFileHeaderRecord<'_>| entries.push(Entry::new(record));
    Ok(plain_files(records(size, length, fetch, add).await?))
}

/// What `add` makes of the directory of an archive of which `fetch` reads so many bytes from an offset on: first its
/// last `length` bytes, then what turns out to be missing.
pub(crate) async fn records<T: Default>(
    size: u64,
    mut length: u64,
    fetch: impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error>,
    add: impl Fn(&mut T, &ZipFileHeaderRecord<'_>),
) -> Result<T, Error> {
    let mut reader = Sparse::new(size);
    // What is beyond the pieces shows when the directory is read: then the piece is fetched and the reading repeated.
    let mut missing = size.saturating_sub(length);
    let mut read = 0;
    while read < MAX_DIRECTORY {
        let now = length.min(size.saturating_sub(missing));
        let bytes = fetch(missing, now).await?;
        read += now;
        length *= 2;
        reader.add(missing, bytes);
        match read_records(&reader, size, &add) {
            Ok(read) => return Ok(read),
            Err(_) => match reader.missing.take() {
                Some(offset) => missing = offset,
                None => return Err(Unavailable::ArchiveBroken.into()),
            },
        }
    }
    Err(Unavailable::ArchiveBroken.into())
}

/// The directory of an archive, as far as its pieces are here.
fn read_records<T: Default>(
    reader: &Sparse,
    size: u64,
    add: impl Fn(&mut T, &ZipFileHeaderRecord<'_>),
) -> Result<T, rawzip::Error> {
    let mut buffer = vec![0; RECOMMENDED_BUFFER_SIZE];
    let located = ZipLocator::new().locate_in_reader(reader, &mut buffer, size);
    let archive = located.map_err(|(_, error)| error)?;
    let mut read = T::default();
    let mut records = archive.entries(&mut buffer);
    while let Some(record) = records.next_entry()? {
        add(&mut read, &record);
    }
    Ok(read)
}

impl Entry {
    fn new(record: &ZipFileHeaderRecord<'_>) -> Self {
        // Names are UTF-8 on most systems, whether or not the archive says so.
        let path = record.file_path();
        let (name, raw_name) = match std::str::from_utf8(path.as_ref()) {
            Ok(name) => (name.to_owned(), None),
            Err(_) => (
                String::from_utf8_lossy(path.as_ref()).into_owned(),
                Some(path.as_ref().to_vec()),
            ),
        };
        Self {
            name,
            inner: 0,
            raw_name,
            header_start: record.local_header_offset(),
            compressed: record.compressed_size_hint(),
            size: record.uncompressed_size_hint(),
            crc: record.crc32(),
            method: Method::of(record.compression_method().as_u16(), record.flags().is_encrypted()),
        }
    }

    /// The name as callers know it.
    pub(crate) fn name(&self) -> &str {
        self.name.get(self.inner..).unwrap_or_default()
    }

    /// The name as it is written.
    fn raw_name(&self) -> &[u8] {
        self.raw_name.as_deref().unwrap_or(self.name.as_bytes())
    }

    /// Begins to read the entry, or a part of it, from the bytes of the archive that `slices` gives: those of a range,
    /// the first slice of them not longer than said.
    pub(crate) async fn open(
        &self,
        part: Option<Range<u64>>,
        slices: impl Fn(Range<u64>, u64) -> Pieces,
    ) -> Result<Pieces, Error> {
        let content = self.content()?;
        let start = self.header_start;
        let least = HEADER_LENGTH + self.raw_name().len() as u64 + self.compressed;
        let end = start.saturating_add(least + u64::from(u16::MAX));
        let mut feed = Feed::new(slices(start..end, least + USUAL_EXTRA));
        if feed.take().await? != LOCAL_HEADER {
            return Err(Unavailable::ArchiveBroken.into());
        }
        let header = LocalHeader::read(&mut feed).await?;
        if header.name != self.raw_name() {
            return Err(Unavailable::ArchiveBroken.into());
        }
        Ok(match (part, self.method) {
            (None, _) => unpacked(feed, content),
            (Some(part), Ok(Method::Stored)) => {
                let data = start + header.length;
                slices(data + part.start..data + part.end, u64::MAX)
            }
            (Some(part), _) => window(unpacked(feed, content), part.start, part.end),
        })
    }

    /// What is to come.
    ///
    /// # Errors
    /// [`Unavailable`] when it is too large or cannot be read here.
    pub(crate) fn content(&self) -> Result<Content, Unavailable> {
        Content::known(self.method?, self.compressed, self.size, self.crc)
    }

    /// Checksum and size: two states of an entry with the same ones have the same bytes.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:08x}-{:x}", self.crc, self.size)
    }
}

/// Whether an entry is a folder or something that operating systems add.
pub(super) fn is_clutter(name: &[u8]) -> bool {
    let is_finders = |folder: &[u8]| folder.is_empty() || folder.ends_with(b"/");
    name.ends_with(b"/") || name.starts_with(b"__MACOSX/") || name.strip_suffix(b".DS_Store").is_some_and(is_finders)
}

/// The files of an archive: takes the single top folder off that people's archives have. Their names may still lead out
/// of the run.
fn plain_files(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| !is_clutter(entry.name.as_bytes()));
    let inner = top_folder(entries.iter().map(|entry| entry.name.as_bytes()));
    for entry in &mut entries {
        entry.inner = inner;
    }
    entries
}

/// The length of the folder that all names are in, with its slash; 0 without such a folder.
fn top_folder<'a>(mut names: impl Iterator<Item = &'a [u8]> + Clone) -> usize {
    let length = |name: &[u8]| name.iter().position(|b| *b == b'/').map(|slash| slash + 1);
    let first = names.clone().next().unwrap_or_default();
    let top = length(first).and_then(|length| first.get(..length)).unwrap_or_default();
    if names.all(|name| name.starts_with(top)) {
        top.len()
    } else {
        0
    }
}

/// A file of which only some pieces are here. Reading elsewhere fails and notes where.
struct Sparse {
    size: u64,
    pieces: Vec<(u64, Vec<u8>)>,
    missing: Cell<Option<u64>>,
}

impl Sparse {
    fn new(size: u64) -> Self {
        Self {
            size,
            pieces: Vec::new(),
            missing: Cell::new(None),
        }
    }

    fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.pieces.push((offset, bytes));
    }
}

impl ReaderAt for Sparse {
    fn read_at(&self, mut buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let here = self.pieces.iter().find_map(|(start, bytes)| {
            let start = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(start..).filter(|rest| !rest.is_empty())
        });
        let Some(rest) = here else {
            self.missing.set(Some(offset));
            return Err(io::Error::other("this piece is not here"));
        };
        let length = rest.len().min(buffer.len());
        buffer.write_all(rest.get(..length).unwrap_or_default())?;
        Ok(length)
    }
}
