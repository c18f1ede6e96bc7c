//! Archives read as streams. A file must not depend on the lengths of the chunks, and must not exceed its size or any limit.
//!
//! Input: the length of the chunks, then the archive. The target looks for the entry `a` and for the first entry.

#![no_main]

use bytes::Bytes;
use futures::{TryStreamExt as _, executor::block_on};
use libfuzzer_sys::fuzz_target;
use planexe_mcp::{artifacts::MAX_SIZE, fuzzing::find_entry};

/// Limit for reading one file: a few bytes can unpack to many.
const MOST: usize = 1 << 17;

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Broken,
    Absent,
    BrokenLater,
    LimitReached,
    Complete(Vec<u8>),
}

async fn read_entry(archive: &Bytes, slice: usize, name: &str) -> Outcome {
    let (size, mut stream) = match find_entry(archive.clone(), slice, name).await {
        Ok(Some(found)) => found,
        Ok(None) => return Outcome::Absent,
        Err(_) => return Outcome::Broken,
    };
    let most = size.unwrap_or(MAX_SIZE);
    assert!(most <= MAX_SIZE);
    let mut bytes = Vec::new();
    loop {
        match stream.try_next().await {
            Ok(Some(chunk)) => {
                assert!(!chunk.is_empty());
                bytes.extend_from_slice(&chunk);
                assert!(bytes.len() as u64 <= most, "{} of {most} bytes", bytes.len());
                if bytes.len() > MOST {
                    return Outcome::LimitReached;
                }
            }
            Ok(None) => break,
            Err(_) => return Outcome::BrokenLater,
        }
    }
    assert!(
        size.is_none_or(|size| bytes.len() as u64 == size),
        "{} of {size:?} bytes",
        bytes.len()
    );
    Outcome::Complete(bytes)
}

fuzz_target!(|data: &[u8]| {
    let Some((slice, archive)) = data.split_first() else {
        return;
    };
    // Each chunk is unpacked into a new buffer, so very small chunks only cost time.
    let slice = usize::from(*slice) * 8 + 5;
    let archive = Bytes::copy_from_slice(archive);
    let length = archive
        .get(26..28)
        .map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
    let first = archive
        .get(30..30 + length)
        .and_then(|name| std::str::from_utf8(name).ok());
    for name in [Some("a"), first].into_iter().flatten() {
        let at_once = block_on(read_entry(&archive, usize::MAX, name));
        let in_chunks = block_on(read_entry(&archive, slice, name));
        match (&at_once, &in_chunks) {
            // The lengths of the chunks decide how much of a long file is read before an error shows.
            (Outcome::LimitReached, other) | (other, Outcome::LimitReached) => {
                assert!(
                    matches!(other, Outcome::LimitReached | Outcome::BrokenLater),
                    "{name:?} in chunks of {slice} bytes"
                );
            }
            _ => assert_eq!(at_once, in_chunks, "{name:?} in chunks of {slice} bytes"),
        }
    }
});
