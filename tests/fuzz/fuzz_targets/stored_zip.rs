//! Archives in the database. Files that are listed lie inside the run; reading an archive in parts lists the same files as
//! reading it whole; a file and its byte ranges have the bytes that another program unpacks, and no more than its size.
//!
//! Input: the length of the parts, start and length of a byte range, then the archive.

#![no_main]

use std::io::{Cursor, Read as _};

use bytes::Bytes;
use futures::{TryStreamExt as _, executor::block_on};
use libfuzzer_sys::fuzz_target;
use planexe_mcp::{
    artifacts::{ByteStream, MAX_SIZE},
    fuzzing::{Entry, entries, newest},
    plan::is_inside,
};
use zip::ZipArchive;

/// Limit for reading one file: a few bytes can unpack to many.
const MOST: usize = 1 << 17;

/// The bytes, and whether they are complete; `None` when the stream ends in an error.
async fn collect(mut stream: ByteStream) -> Option<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.try_next().await.ok()? {
        assert!(!chunk.is_empty() && chunk.len() <= 64 * 1024);
        bytes.extend_from_slice(&chunk);
        if bytes.len() > MOST {
            return Some((bytes, false));
        }
    }
    Some((bytes, true))
}

/// What another program unpacks for the last entry with this name.
fn unpacked_elsewhere(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let mut archive = ZipArchive::new(Cursor::new(archive)).ok()?;
    let index = (0..archive.len()).rev().find(|index| {
        let raw = archive.by_index_raw(*index).map(|entry| entry.name_raw().to_vec());
        raw.is_ok_and(|raw| raw == name.as_bytes() || raw.ends_with(format!("/{name}").as_bytes()))
    })?;
    let mut bytes = Vec::new();
    archive.by_index(index).ok()?.read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

fuzz_target!(|data: &[u8]| {
    let Some(([slice, start, length], archive)) = data.split_first_chunk() else {
        return;
    };
    let archive = Bytes::copy_from_slice(archive);
    let whole = block_on(entries(&archive, archive.len() as u64));
    let in_parts = block_on(entries(&archive, u64::from(*slice) + 1));
    let names = |listed: &[_]| -> Vec<String> { listed.iter().map(|entry: &Entry| entry.name().to_owned()).collect() };
    if let (Ok(whole), Ok(in_parts)) = (&whole, &in_parts) {
        assert_eq!(names(whole), names(in_parts), "both ways list the same files");
    }
    let shown = block_on(newest(&archive, u64::from(*slice) + 1, 10));
    assert_eq!(shown.is_ok(), in_parts.is_ok(), "names can be read when entries can");
    let shown = shown.unwrap_or_default();
    assert!(
        shown.len() <= 10 && shown.iter().all(|name| is_inside(name)),
        "{shown:?}"
    );
    let Ok(listed) = in_parts.or(whole) else { return };
    // Other entries cannot be downloaded.
    let inside = listed.iter().filter(|entry| is_inside(entry.name()));
    for entry in inside.rev().take(3) {
        // Each chunk is unpacked into a new buffer, so very small chunks only cost time.
        let slice = usize::from(*slice) * 8 + 5;
        let Ok(stream) = block_on(entry.open(&archive, None, slice)) else {
            continue;
        };
        let size = entry.size().expect("what opens has a size");
        assert!(size <= MAX_SIZE);
        let Some((bytes, is_whole)) = block_on(collect(stream)) else {
            continue;
        };
        assert!(bytes.len() as u64 <= size, "{} of {size} bytes", bytes.len());
        if !is_whole {
            continue;
        }
        assert_eq!(bytes.len() as u64, size);
        let last = listed.iter().rev().find(|other| other.name() == entry.name());
        if last.is_some_and(|last| std::ptr::eq(last, entry))
            && let Some(elsewhere) = unpacked_elsewhere(&archive, entry.name())
            && elsewhere.len() == bytes.len()
        {
            assert!(
                elsewhere == bytes,
                "{:?} unpacks to other bytes elsewhere",
                entry.name()
            );
        }
        let start = u64::from(*start).min(size);
        let end = (start + u64::from(*length)).min(size);
        if start < end {
            let part = block_on(entry.open(&archive, Some(start..end), slice)).expect("the whole opened");
            let (part, _) = block_on(collect(part)).expect("the whole was read");
            assert!(
                part[..] == bytes[start as usize..end as usize],
                "bytes {start} to {end}"
            );
        }
    }
});
