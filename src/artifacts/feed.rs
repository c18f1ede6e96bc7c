//! Bytes that arrive in pieces of any size, taken in the portions that their reader wants.

use std::pin::Pin;

use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt as _, stream};

use crate::error::{Error, Unavailable};

/// Bytes of a file as they arrive. An error in the middle means that the rest will not come.
pub type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>;

/// Arriving bytes, taken in the portions that their reader wants.
pub(crate) struct Feed {
    pieces: Pieces,
    /// Bytes that are here and not taken yet.
    pub(super) rest: Bytes,
}

impl Feed {
    pub(super) fn new(pieces: Pieces) -> Self {
        Self {
            pieces,
            rest: Bytes::new(),
        }
    }

    /// Waits until there are bytes; false at the end.
    pub(super) async fn wait(&mut self) -> Result<bool, Error> {
        while self.rest.is_empty() {
            match self.pieces.next().await {
                Some(piece) => self.rest = piece?,
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The next `N` bytes. An archive that ends here is cut short.
    pub(super) async fn take<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut taken = [0; N];
        let mut open = taken.as_mut_slice();
        while !open.is_empty() {
            if !self.wait().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
            let length = open.len().min(self.rest.len());
            let (now, later) = open.split_at_mut(length);
            self.rest.copy_to_slice(now);
            open = later;
        }
        Ok(taken)
    }

    /// The next bytes, as many as a two-byte length can say.
    pub(super) async fn take_short(&mut self, length: u16) -> Result<Vec<u8>, Error> {
        let mut taken = Vec::with_capacity(length.into());
        while taken.len() < length.into() {
            let [byte] = self.take::<1>().await?;
            taken.push(byte);
        }
        Ok(taken)
    }

    /// Passes over bytes.
    pub(super) async fn skip(&mut self, mut length: u64) -> Result<(), Error> {
        while length > 0 {
            if !self.wait().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
            let now = usize::try_from(length).map_or(self.rest.len(), |length| length.min(self.rest.len()));
            self.rest.advance(now);
            length -= now as u64;
        }
        Ok(())
    }
}

/// The bytes from `start` to `end` of a file. It is read from its beginning, but not beyond `end`.
pub(super) fn window(pieces: Pieces, start: u64, end: u64) -> Pieces {
    let cut = stream::try_unfold((pieces, 0_u64), move |(mut pieces, mut position)| async move {
        while position < end {
            let Some(piece) = pieces.next().await else { break };
            let mut piece = piece?;
            let length = piece.len() as u64;
            let within = |offset: u64| usize::try_from(offset.min(length)).unwrap_or(usize::MAX);
            piece.truncate(within(end - position));
            piece.advance(within(start.saturating_sub(position)).min(piece.len()));
            position += length;
            if !piece.is_empty() {
                return Ok(Some((piece, (pieces, position))));
            }
        }
        Ok(None)
    });
    cut.boxed_local()
}
