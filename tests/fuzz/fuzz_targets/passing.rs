//! Archives that pass by once: whatever comes, in whatever pieces, a file is the same, within its size and all bounds.
//!
//! Input: the length of the pieces, then the archive. A file of the name `a` or of the first entry is sought.

#![no_main]

use bytes::Bytes;
use futures::{TryStreamExt as _, executor::block_on};
use libfuzzer_sys::fuzz_target;
use planexe_mcp::{artifacts::MAX_SIZE, fuzzing::find};

/// More is not read of one file: a few bytes can unpack to many.
const MOST: usize = 1 << 17;

#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Broken,
    Absent,
    Cut,
    Begun,
    Whole(Vec<u8>),
}

async fn seek(archive: &Bytes, slice: usize, name: &str) -> Seen {
    let (size, mut pieces) = match find(archive.clone(), slice, name).await {
        Ok(Some(found)) => found,
        Ok(None) => return Seen::Absent,
        Err(_) => return Seen::Broken,
    };
    let most = size.unwrap_or(MAX_SIZE);
    assert!(most <= MAX_SIZE);
    let mut bytes = Vec::new();
    loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => {
                assert!(!piece.is_empty());
                bytes.extend_from_slice(&piece);
                assert!(bytes.len() as u64 <= most, "{} of {most} bytes", bytes.len());
                if bytes.len() > MOST {
                    return Seen::Begun;
                }
            }
            Ok(None) => break,
            Err(_) => return Seen::Cut,
        }
    }
    assert!(
        size.is_none_or(|size| bytes.len() as u64 == size),
        "{} of {size:?} bytes",
        bytes.len()
    );
    Seen::Whole(bytes)
}

fuzz_target!(|data: &[u8]| {
    let Some((slice, archive)) = data.split_first() else {
        return;
    };
    // Each piece is unpacked into a buffer of its own: very small ones are only slower.
    let slice = usize::from(*slice) * 8 + 5;
    let archive = Bytes::copy_from_slice(archive);
    let length = archive
        .get(26..28)
        .map_or(0, |length| usize::from(u16::from_le_bytes([length[0], length[1]])));
    let first = archive
        .get(30..30 + length)
        .and_then(|name| std::str::from_utf8(name).ok());
    for name in [Some("a"), first].into_iter().flatten() {
        let at_once = block_on(seek(&archive, usize::MAX, name));
        let in_pieces = block_on(seek(&archive, slice, name));
        match (&at_once, &in_pieces) {
            // How much of a long file is read before it turns out to be broken depends on the pieces.
            (Seen::Begun, other) | (other, Seen::Begun) => {
                assert!(
                    matches!(other, Seen::Begun | Seen::Cut),
                    "{name:?} in pieces of {slice} bytes"
                );
            }
            _ => assert_eq!(at_once, in_pieces, "{name:?} in pieces of {slice} bytes"),
        }
    }
});
