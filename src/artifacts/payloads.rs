//! Leaves the provider payloads out of an archive. The entries that stay are handed out as they are, byte for byte; only the
//! directory at the end is written anew (APPNOTE.TXT sections 4.3.12 and 4.3.16).
//!
//! Reads strictly: entries follow each other from the first byte of the archive up to its directory, in the directory's
//! order, as PlanExe writes them. Bytes that the directory does not account for might hold payloads.

use std::ops::Range;

use bytes::Bytes;
use futures::{StreamExt as _, stream};

use super::{
    byte_reader::{ByteReader, ByteStream},
    stored_zip::MAX_DIRECTORY,
    zip_entry::{HEADER_LENGTH, LOCAL_HEADER, LocalHeader},
};
use crate::{
    db::parts::Parts,
    error::{Error, Unavailable},
    plan::is_withheld,
};

/// Signature of an entry in the directory, and bytes of it before the name.
const RECORD: &[u8] = b"PK\x01\x02";
const RECORD_LENGTH: usize = 46;
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

/// An archive that arrives as a stream, as far as it has been passed on.
struct Passing {
    reader: ByteReader,
    /// Bytes of the present entry that are still to come.
    left: u64,
    /// What has been passed on.
    passed: Parts,
}

/// Leaves the payloads out of an archive that arrives as a stream. Memory use grows with its directory only. The stream ends
/// in an error where the archive is not understood, and at an entry whose length is known only after its content.
pub(super) fn without_payloads(stream: ByteStream) -> ByteStream {
    let passing = Passing {
        reader: ByteReader::new(stream),
        left: 0,
        passed: Parts::default(),
    };
    let passed = stream::try_unfold(Some(passing), |passing| async {
        let Some(mut passing) = passing else { return Ok(None) };
        let (bytes, is_end) = passing.next().await?;
        Ok(Some((bytes, (!is_end).then_some(passing))))
    });
    passed.boxed_local()
}

impl Passing {
    /// The next bytes to pass on, and whether they are the last.
    async fn next(&mut self) -> Result<(Bytes, bool), Error> {
        loop {
            if self.left > 0 {
                if !self.reader.fill().await? {
                    return Err(Unavailable::ArchiveBroken.into());
                }
                let arrived = self.reader.buffer.len();
                let length = usize::try_from(self.left).map_or(arrived, |left| left.min(arrived));
                self.left -= length as u64;
                return Ok((self.reader.buffer.split_to(length), false));
            }
            let start = self.reader.position();
            let signature = self.reader.read_array().await?;
            if signature != LOCAL_HEADER {
                return Ok((self.directory(start, signature.to_vec()).await?.into(), true));
            }
            let header = LocalHeader::read_from(&mut self.reader).await?;
            if is_payloads(&header.name) {
                header.skip_content(&mut self.reader).await?;
                continue;
            }
            self.left = header.content_length()?;
            self.passed.keep(start..start + header.bytes.len() as u64 + self.left);
            return Ok((header.bytes.into(), false));
        }
    }

    /// Reads the directory, which begins at `start` with these bytes, and makes the one of what has been passed on.
    async fn directory(&mut self, start: u64, mut bytes: Vec<u8>) -> Result<Vec<u8>, Error> {
        while self.reader.fill().await? && bytes.len() as u64 <= MAX_DIRECTORY {
            bytes.extend_from_slice(&std::mem::take(&mut self.reader.buffer));
        }
        let directory = find_directory(start, &bytes).filter(|directory| directory.start == start);
        let parts = directory.and_then(|directory| choose_parts(&directory, &bytes));
        let parts = parts.filter(|parts| parts.kept == self.passed.kept);
        Ok(parts.ok_or(Unavailable::ArchiveBroken)?.tail)
    }
}
