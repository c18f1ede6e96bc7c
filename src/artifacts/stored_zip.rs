//! Reads the zip archive of a run in the database: the directory at its end, then only the entry that is asked for.

use std::{
    cell::Cell,
    io::{self, Write as _},
    ops::Range,
    rc::Rc,
};

use futures::StreamExt as _;
use rawzip::{RECOMMENDED_BUFFER_SIZE, ReaderAt, ZipFileHeaderRecord, ZipLocator};

use super::{
    MAX_SIZE,
    byte_reader::{ByteReader, ByteStream, byte_range},
    payloads::{choose_parts, find_directory},
    run_files::DosTime,
    slices::{read_slice, slices},
    zip_entry::{Content, HEADER_LENGTH, LOCAL_HEADER, LocalHeader, Method, unpacked},
};
use crate::{
    db::{Database, parts::hash_parts, task::Stored},
    error::{Error, Unavailable},
    plan::{Artifact, TaskId},
};

/// Bytes that are read first, at the end of an archive. They usually hold the whole directory: that of 196 files takes
/// 24 kB.
pub const END_LENGTH: u32 = 32 * 1024;
/// Limit for the bytes that are read to parse a directory.
pub(super) const MAX_DIRECTORY: u64 = 8 * 1024 * 1024;
/// Bytes that the extra fields of a local header rarely exceed.
const USUAL_EXTRA: u64 = 64;

/// A zip archive in the database.
pub(super) struct StoredZip {
    database: Database,
    id: TaskId,
    stored: Stored,
}

/// An entry of an archive's directory that is a file.
#[derive(Debug)]
pub(crate) struct Entry {
    name: String,
    /// Length of the common top folder in `name`, which callers do not see.
    folder_length: usize,
    /// The original name, when it is not UTF-8.
    raw_name: Option<Vec<u8>>,
    header_start: u64,
    compressed: u64,
    size: u64,
    crc: u32,
    method: Result<Method, Unavailable>,
}

/// Names and modification times of the files in an archive. Smaller and faster to read than a list of [`Entry`]: files are
/// listed every few minutes, an entry is read once.
#[derive(Debug, Default)]
pub(crate) struct FileNames {
    /// All names, concatenated.
    bytes: Vec<u8>,
    /// For each file its range in `bytes` and its time.
    files: Vec<(Range<usize>, Option<DosTime>)>,
}

impl FileNames {
    pub(crate) fn add(&mut self, record: &ZipFileHeaderRecord<'_>) {
        let path = record.file_path();
        if is_folder_or_os_metadata(path.as_ref()) {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(path.as_ref());
        let modified = record.last_modified_dos();
        let modified = DosTime::new(modified.packed_date(), modified.packed_time());
        self.files.push((start..self.bytes.len(), modified));
    }

    /// Times and names, without the common top folder. The names are not validated: a path may lead out of the run.
    pub(super) fn files(&self) -> impl Iterator<Item = (Option<DosTime>, &[u8])> {
        let name = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let folder_length = common_folder_length(self.files.iter().map(|(range, _)| name(range)));
        let files = self.files.iter();
        files.map(move |(range, modified)| (*modified, name(range).get(folder_length..).unwrap_or_default()))
    }
}

impl StoredZip {
    /// The archive of a task.
    pub(super) fn new(database: &Database, id: TaskId, stored: Stored) -> Self {
        Self {
            database: database.renewed(),
            id,
            stored,
        }
    }

    /// Finds the entry with one of these names. Of two such entries it takes the last one, as unpacking programs do.
    /// `end` holds the last [`END_LENGTH`] bytes of the archive if they have been read already.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the archive is too large or broken, and those of the database.
    pub(super) async fn find_entry(&self, names: &[&str], end: Option<Vec<u8>>) -> Result<Option<Entry>, Error> {
        if self.stored.size > MAX_SIZE {
            return Err(Unavailable::ArchiveTooLarge.into());
        }
        let entries = list_entries(self.stored.size, END_LENGTH.into(), self.fetcher(end)).await?;
        Ok(entries.into_iter().rev().find(|entry| names.contains(&entry.name())))
    }

    /// A function that reads bytes of the archive at an offset. Its first call returns `end` if that is given.
    fn fetcher(&self, end: Option<Vec<u8>>) -> impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error> {
        let end = Cell::new(end);
        async move |offset, length| match end.take() {
            Some(bytes) => Ok(bytes),
            None => self.read_range(offset, length).await,
        }
    }

    /// Lists the files. `end` holds the last [`END_LENGTH`] bytes of the archive.
    ///
    /// # Errors
    /// As [`StoredZip::find_entry`].
    pub(super) async fn names(&self, end: Vec<u8>) -> Result<FileNames, Error> {
        read_directory(
            self.stored.size,
            END_LENGTH.into(),
            self.fetcher(Some(end)),
            FileNames::add,
        )
        .await
    }

    /// The archive as it is handed out without provider payloads; `None` when its row has changed meanwhile. `end` holds the
    /// last bytes of the archive.
    ///
    /// # Errors
    /// [`Unavailable::TooLarge`]; [`Unavailable::ArchiveBroken`] when the archive is not understood; those of the database.
    pub(super) async fn without_payloads(&self, end: &[u8]) -> Result<Option<Stored>, Error> {
        let size = super::check_size(self.stored.size)?;
        let start = size.saturating_sub(end.len() as u64);
        let directory = find_directory(start, end).ok_or(Unavailable::ArchiveBroken)?;
        let read;
        let bytes = match directory.start.checked_sub(start) {
            Some(before) => usize::try_from(before).ok().and_then(|before| end.get(before..)),
            None if size - directory.start > MAX_DIRECTORY => None,
            None => {
                read = self.read_range(directory.start, size - directory.start).await?;
                Some(read.as_slice())
            }
        };
        let parts = bytes.and_then(|bytes| choose_parts(&directory, bytes));
        let parts = Rc::new(parts.ok_or(Unavailable::ArchiveBroken)?);
        let found = hash_parts(&self.database, self.id, parts).await?;
        Ok(found.filter(|found| found.version == self.stored.version))
    }

    async fn read_range(&self, offset: u64, length: u64) -> Result<Vec<u8>, Error> {
        let mut stored = self.stored.clone();
        let bytes = read_slice(&self.database, self.id, Artifact::Zip, &mut stored, offset, length).await?;
        Ok(bytes.into())
    }

    /// Begins to read an entry, or a byte range of it.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the entry is broken or not supported, and those of the database.
    pub(super) async fn open_entry(&self, entry: &Entry, range: Option<Range<u64>>) -> Result<ByteStream, Error> {
        entry.open(range, |range, first| self.stream(range, first)).await
    }

    /// Streams bytes of the archive. The first slice has at most `first` bytes.
    fn stream(&self, range: Range<u64>, first: u64) -> ByteStream {
        let range = range.start..range.end.min(self.stored.size);
        let (database, stored) = (self.database.clone(), self.stored.clone());
        slices(database, self.id, Artifact::Zip, stored, range, first).boxed_local()
    }
}

/// Lists the files of an archive. Arguments and errors are those of [`read_directory`].
pub(crate) async fn list_entries(
    size: u64,
    length: u64,
    fetch: impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error>,
) -> Result<Vec<Entry>, Error> {
    let add = |entries: &mut Vec<Entry>, record: &ZipFileHeaderRecord<'_>| entries.push(Entry::new(record));
    Ok(without_common_folder(read_directory(size, length, fetch, add).await?))
}

/// Reads the directory of an archive of `size` bytes and collects its records with `add`. `fetch` reads bytes at an offset:
/// first the last `length` bytes of the archive, then those that turn out to be missing.
///
/// # Errors
/// [`Unavailable::ArchiveBroken`], and those of `fetch`.
pub(crate) async fn read_directory<T: Default>(
    size: u64,
    mut length: u64,
    fetch: impl AsyncFn(u64, u64) -> Result<Vec<u8>, Error>,
    add: impl Fn(&mut T, &ZipFileHeaderRecord<'_>),
) -> Result<T, Error> {
    let mut reader = PartialFile::new(size);
    // Parse the directory; when bytes are missing, fetch them and parse again.
    let mut missing = size.saturating_sub(length);
    let mut read = 0;
    while read < MAX_DIRECTORY {
        let now = length.min(size.saturating_sub(missing));
        let bytes = fetch(missing, now).await?;
        read += now;
        length *= 2;
        reader.add(missing, bytes);
        match parse_directory(&reader, size, &add) {
            Ok(read) => return Ok(read),
            Err(_) => match reader.missing.take() {
                Some(offset) => missing = offset,
                None => return Err(Unavailable::ArchiveBroken.into()),
            },
        }
    }
    Err(Unavailable::ArchiveBroken.into())
}

/// Parses the directory. Fails when `reader` lacks bytes of it.
fn parse_directory<T: Default>(
    reader: &PartialFile,
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
            folder_length: 0,
            raw_name,
            header_start: record.local_header_offset(),
            compressed: record.compressed_size_hint(),
            size: record.uncompressed_size_hint(),
            crc: record.crc32(),
            method: Method::from_number(record.compression_method().as_u16(), record.flags().is_encrypted()),
        }
    }

    /// The name without the common top folder.
    pub(crate) fn name(&self) -> &str {
        self.name.get(self.folder_length..).unwrap_or_default()
    }

    /// The name in the archive, as bytes.
    fn raw_name(&self) -> &[u8] {
        self.raw_name.as_deref().unwrap_or(self.name.as_bytes())
    }

    /// Begins to read the entry, or a byte range of it. `stream_archive` streams a range of the archive, with a limit for the
    /// length of the first slice.
    ///
    /// # Errors
    /// [`Error::ContentUnavailable`] when the entry is broken or not supported, and those of `stream_archive`.
    pub(crate) async fn open(
        &self,
        range: Option<Range<u64>>,
        stream_archive: impl Fn(Range<u64>, u64) -> ByteStream,
    ) -> Result<ByteStream, Error> {
        let content = self.content()?;
        let start = self.header_start;
        let min_length = HEADER_LENGTH + self.raw_name().len() as u64 + self.compressed;
        let end = start.saturating_add(min_length + u64::from(u16::MAX));
        let mut reader = ByteReader::new(stream_archive(start..end, min_length + USUAL_EXTRA));
        if reader.read_array().await? != LOCAL_HEADER {
            return Err(Unavailable::ArchiveBroken.into());
        }
        let header = LocalHeader::read_from(&mut reader).await?;
        if header.name != self.raw_name() {
            return Err(Unavailable::ArchiveBroken.into());
        }
        Ok(match (range, self.method) {
            (None, _) => unpacked(reader, content),
            (Some(range), Ok(Method::Stored)) => {
                let data = start + header.bytes.len() as u64;
                stream_archive(data + range.start..data + range.end, u64::MAX)
            }
            (Some(range), _) => byte_range(unpacked(reader, content), range.start, range.end),
        })
    }

    /// Describes the content.
    ///
    /// # Errors
    /// [`Unavailable`] when it is too large or not supported.
    pub(crate) fn content(&self) -> Result<Content, Unavailable> {
        Content::known(self.method?, self.compressed, self.size, self.crc)
    }

    /// Checksum and size, which change whenever the content changes.
    pub(super) fn fingerprint(&self) -> String {
        format!("{:08x}-{:x}", self.crc, self.size)
    }
}

/// Whether an entry is a folder, or metadata that macOS adds.
pub(super) fn is_folder_or_os_metadata(name: &[u8]) -> bool {
    let is_folder_path = |folder: &[u8]| folder.is_empty() || folder.ends_with(b"/");
    name.ends_with(b"/")
        || name.starts_with(b"__MACOSX/")
        || name.strip_suffix(b".DS_Store").is_some_and(is_folder_path)
}

/// Keeps the files, and hides the top folder if all of them are in the same one. The names are not validated: a path may
/// lead out of the run.
fn without_common_folder(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.retain(|entry| !is_folder_or_os_metadata(entry.name.as_bytes()));
    let folder_length = common_folder_length(entries.iter().map(|entry| entry.name.as_bytes()));
    for entry in &mut entries {
        entry.folder_length = folder_length;
    }
    entries
}

/// The length of the top folder that all names have in common, including its slash; 0 without one.
fn common_folder_length<'a>(mut names: impl Iterator<Item = &'a [u8]> + Clone) -> usize {
    let length = |name: &[u8]| name.iter().position(|b| *b == b'/').map(|slash| slash + 1);
    let first = names.clone().next().unwrap_or_default();
    let top = length(first).and_then(|length| first.get(..length)).unwrap_or_default();
    if names.all(|name| name.starts_with(top)) {
        top.len()
    } else {
        0
    }
}

/// A file of which only some parts are in memory. Reading elsewhere fails and stores the offset in `missing`.
struct PartialFile {
    size: u64,
    /// Offset and bytes of each part.
    parts: Vec<(u64, Vec<u8>)>,
    missing: Cell<Option<u64>>,
}

impl PartialFile {
    fn new(size: u64) -> Self {
        Self {
            size,
            parts: Vec::new(),
            missing: Cell::new(None),
        }
    }

    fn add(&mut self, offset: u64, bytes: Vec<u8>) {
        self.parts.push((offset, bytes));
    }
}

impl ReaderAt for PartialFile {
    fn read_at(&self, mut buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        if offset >= self.size || buffer.is_empty() {
            return Ok(0);
        }
        let found = self.parts.iter().find_map(|(start, bytes)| {
            let start = usize::try_from(offset.checked_sub(*start)?).ok()?;
            bytes.get(start..).filter(|rest| !rest.is_empty())
        });
        let Some(rest) = found else {
            self.missing.set(Some(offset));
            return Err(io::Error::other("this part is not in memory"));
        };
        let length = rest.len().min(buffer.len());
        buffer.write_all(rest.get(..length).unwrap_or_default())?;
        Ok(length)
    }
}
