//! Leaves the provider payloads out of an archive. The entries that stay are handed out as they are, byte for byte; only the
//! directory at the end is written anew (APPNOTE.TXT sections 4.3.12 and 4.3.16).
//!
//! Reads strictly: entries follow each other from the first byte of the archive up to its directory, in the directory's
//! order, as PlanExe writes them. Bytes that the directory does not account for might hold payloads.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};

use super::{
    byte_reader::ByteStream,
    stored_zip::MAX_DIRECTORY,
    zip_entry::{HEADER_LENGTH, LOCAL_HEADER},
};
use crate::{db::parts::Parts, error::Unavailable, plan::is_withheld};

/// Signature of an entry in the directory, and bytes of it before the name.
const RECORD: &[u8] = b"PK\x01\x02";
const RECORD_LENGTH: usize = 46;
/// Bytes of the header before an entry, before the name.
const LOCAL_LENGTH: usize = HEADER_LENGTH as usize;
/// Signature of the record after the directory.
const END: &[u8] = b"PK\x05\x06";
/// Bytes that may be between the content of an entry and the next one: extra fields of its local header, and a data
/// descriptor.
const MAX_GAP: u64 = 0xFFFF + 24;

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?).into())
}

fn is_payloads(name: &[u8]) -> bool {
    is_withheld(&String::from_utf8_lossy(name))
}

/// Where the directory of an archive is; `None` when the archive is not understood. `bytes` are its last ones, from `start`
/// on.
pub(super) fn find_directory(start: u64, bytes: &[u8]) -> Option<Range<u64>> {
    let end = bytes.windows(END.len()).rposition(|window| window == END)?;
    let record = bytes.get(end..)?;
    let offset = long(record, 16)?;
    let directory = offset..offset + long(record, 12)?;
    let is_whole = record.len() == 22 + short(record, 20)? && directory.end == start + end as u64;
    is_whole.then_some(directory)
}

/// Chooses what of an archive is handed out; `None` when the archive is not understood. `bytes` are its last ones, of which
/// the directory begins at `directory`.
pub(super) fn choose_parts(directory: &Range<u64>, bytes: &[u8]) -> Option<Parts> {
    let (mut rest, end) = bytes.split_at_checked(usize::try_from(directory.end - directory.start).ok()?)?;
    let mut records = Vec::new();
    while !rest.is_empty() {
        let length = RECORD_LENGTH + short(rest, 28)? + short(rest, 30)? + short(rest, 32)?;
        let (record, after) = rest.split_at_checked(length)?;
        records.push(record);
        rest = after;
    }
    if [short(end, 8)?, short(end, 10)?] != [records.len(); 2] {
        return None;
    }
    let mut parts = Parts::default();
    let (mut position, mut count) = (0, 0_u16);
    let mut following = records.iter().skip(1);
    for record in &records {
        let next = following.next().map_or(Some(directory.start), |next| long(next, 42))?;
        let name = record.get(RECORD_LENGTH..RECORD_LENGTH + short(record, 28)?)?;
        let least = position + HEADER_LENGTH + name.len() as u64 + long(record, 20)?;
        let is_known = record.starts_with(RECORD) && long(record, 42)? == position;
        if !is_known || !(least..=least + MAX_GAP).contains(&next) {
            return None;
        }
        if !is_payloads(name) {
            let offset = u32::try_from(parts.kept_length()).ok()?.to_le_bytes();
            for part in [record.get(..42)?, &offset, record.get(RECORD_LENGTH..)?] {
                parts.tail.extend_from_slice(part);
            }
            parts.keep(position..next);
            count += 1;
        }
        position = next;
    }
    if position != directory.start {
        return None;
    }
    let place = [
        u32::try_from(parts.tail.len()).ok()?,
        u32::try_from(parts.kept_length()).ok()?,
    ];
    for part in [
        end.get(..8)?,
        &count.to_le_bytes(),
        &count.to_le_bytes(),
        &place.map(u32::to_le_bytes).concat(),
        end.get(20..)?,
    ] {
        parts.tail.extend_from_slice(part);
    }
    Some(parts)
}

/// Leaves the payloads out of an archive that arrives as a stream. Memory use grows with its directory only. The stream ends
/// in an error where the archive is not understood, and at an entry whose length is known only after its content.
pub(super) fn without_payloads(stream: ByteStream) -> ByteStream {
    let mut passing = Passing::default();
    let chunks = stream.map_ok(Some).chain(stream::once(std::future::ready(Ok(None))));
    let passed = chunks.map(move |chunk| {
        let passed = match chunk? {
            Some(chunk) => passing.pass(&chunk),
            None => passing.directory(),
        };
        Ok(Bytes::from(passed.ok_or(Unavailable::ArchiveBroken)?))
    });
    passed
        .try_filter(|bytes| std::future::ready(!bytes.is_empty()))
        .boxed_local()
}

/// An archive that arrives as a stream, as far as it has been passed on.
#[derive(Default)]
struct Passing {
    /// What has arrived and is not passed on: part of a header, or of the directory.
    waiting: Vec<u8>,
    /// Where in the archive that begins.
    position: u64,
    /// Bytes of the present entry that are still to come.
    left: u64,
    /// Whether that entry is left out.
    is_left_out: bool,
    passed: Parts,
}

impl Passing {
    /// What of the archive is passed on after one more chunk; `None` when it is not understood.
    fn pass(&mut self, chunk: &[u8]) -> Option<Vec<u8>> {
        let mut passed = Vec::new();
        self.waiting.extend_from_slice(chunk);
        while self.left > 0 || self.begin_entry()? {
            let length = usize::try_from(self.left).ok()?.min(self.waiting.len());
            if length == 0 {
                break;
            }
            let bytes = self.waiting.drain(..length);
            if !self.is_left_out {
                passed.extend(bytes);
            }
            self.left -= length as u64;
            self.position += length as u64;
        }
        (self.waiting.len() as u64 <= MAX_DIRECTORY).then_some(passed)
    }

    /// Begins the next entry, if its whole header has arrived.
    fn begin_entry(&mut self) -> Option<bool> {
        let bytes = self.waiting.as_slice();
        let (true, Some(name), Some(extra)) = (bytes.starts_with(&LOCAL_HEADER), short(bytes, 26), short(bytes, 28))
        else {
            return Some(false);
        };
        let Some((_, name)) = bytes
            .get(..LOCAL_LENGTH + name + extra)
            .and_then(|header| header.get(..LOCAL_LENGTH + name)?.split_at_checked(LOCAL_LENGTH))
        else {
            return Some(false);
        };
        const HAS_DESCRIPTOR: usize = 8;
        if short(bytes, 6)? & HAS_DESCRIPTOR != 0 {
            return None;
        }
        self.is_left_out = is_payloads(name);
        self.left = (LOCAL_LENGTH + name.len() + extra) as u64 + long(bytes, 18)?;
        if !self.is_left_out {
            self.passed.keep(self.position..self.position + self.left);
        }
        Some(true)
    }

    /// The directory of what has been passed on, after the end of the stream; `None` when the archive is not understood.
    fn directory(&self) -> Option<Vec<u8>> {
        let directory = find_directory(self.position, &self.waiting)?;
        let parts = choose_parts(&directory, &self.waiting)?;
        (directory.start == self.position && parts.kept == self.passed.kept).then_some(parts.tail)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Cursor, Write as _};

    use futures::executor::block_on;
    use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

    use super::*;

    #[test]
    fn any_chunks_of_an_archive_pass_as_its_parts() {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, method) in [
            ("a.md", CompressionMethod::Stored),
            ("x/track_activity.jsonl", CompressionMethod::Deflated),
            ("b.md", CompressionMethod::Deflated),
            ("track_activity.jsonl", CompressionMethod::Stored),
        ] {
            let options = SimpleFileOptions::default().compression_method(method);
            writer.start_file(name, options).expect("a new entry");
            writer.write_all(name.repeat(99).as_bytes()).expect("memory");
        }
        let archive = Bytes::from(writer.finish().expect("an archive").into_inner());
        let directory = find_directory(0, &archive).expect("a directory");
        let Parts { kept, tail } = choose_parts(&directory, &archive[directory.start as usize..]).expect("parts");
        let kept = kept.iter().map(|kept| &archive[kept.start as usize..kept.end as usize]);
        let expected = [kept.collect::<Vec<_>>().concat(), tail].concat();
        assert!(expected.len() < archive.len());
        for length in [1, 2, 7, 30, 1000, archive.len()] {
            let chunks = archive.chunks(length).map(|chunk| Ok(Bytes::copy_from_slice(chunk)));
            let chunks: Vec<_> = chunks.collect();
            let passed = without_payloads(stream::iter(chunks).boxed_local());
            let passed: Vec<Bytes> = block_on(passed.try_collect()).expect("an archive");
            assert_eq!(passed.concat(), expected, "in chunks of {length}");
        }
    }
}
