//! A buffered reader over a stream of bytes.

use std::pin::Pin;

use bytes::{Buf as _, Bytes};
use futures::{Stream, StreamExt as _, stream};

use crate::error::{Error, Unavailable};

/// The bytes of a file, in chunks. The stream ends after an error.
pub type ByteStream = Pin<Box<dyn Stream<Item = Result<Bytes, Error>>>>;

/// A buffered reader over a stream of bytes.
pub(crate) struct ByteReader {
    stream: ByteStream,
    /// Bytes that have arrived and are not read yet.
    pub(super) buffer: Bytes,
    /// Bytes that have arrived.
    received: u64,
}

impl ByteReader {
    pub(super) fn new(stream: ByteStream) -> Self {
        Self {
            stream,
            buffer: Bytes::new(),
            received: 0,
        }
    }

    /// Bytes that have been read.
    pub(super) fn position(&self) -> u64 {
        self.received - self.buffer.len() as u64
    }

    /// Waits until the buffer has bytes. Returns false at the end of the stream.
    pub(super) async fn fill(&mut self) -> Result<bool, Error> {
        while self.buffer.is_empty() {
            match self.stream.next().await {
                Some(chunk) => self.buffer = chunk?,
                None => return Ok(false),
            }
            self.received += self.buffer.len() as u64;
        }
        Ok(true)
    }

    /// Reads `N` bytes.
    ///
    /// # Errors
    /// [`Unavailable::ArchiveBroken`] when the stream ends before.
    pub(super) async fn read_array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut read = [0; N];
        let mut unfilled = read.as_mut_slice();
        while !unfilled.is_empty() {
            if !self.fill().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
            let length = unfilled.len().min(self.buffer.len());
            let (now, later) = unfilled.split_at_mut(length);
            self.buffer.copy_to_slice(now);
            unfilled = later;
        }
        Ok(read)
    }

    /// Reads `length` bytes. Fails as [`ByteReader::read_array`].
    pub(super) async fn read_vec(&mut self, length: u16) -> Result<Vec<u8>, Error> {
        let mut read = Vec::with_capacity(length.into());
        while read.len() < length.into() {
            let [byte] = self.read_array().await?;
            read.push(byte);
        }
        Ok(read)
    }

    /// Skips `length` bytes. Fails as [`ByteReader::read_array`].
    pub(super) async fn skip(&mut self, mut length: u64) -> Result<(), Error> {
        while length > 0 {
            if !self.fill().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
            let now = usize::try_from(length).map_or(self.buffer.len(), |length| length.min(self.buffer.len()));
            self.buffer.advance(now);
            length -= now as u64;
        }
        Ok(())
    }
}

/// The bytes of a file from `start` to `end`, which is excluded. Reads from the beginning of the stream up to `end`.
pub(super) fn byte_range(stream: ByteStream, start: u64, end: u64) -> ByteStream {
    let range = stream::try_unfold((stream, 0_u64), move |(mut stream, mut position)| async move {
        while position < end {
            let Some(chunk) = stream.next().await else { break };
            let mut chunk = chunk?;
            let length = chunk.len() as u64;
            let within = |offset: u64| usize::try_from(offset.min(length)).unwrap_or(usize::MAX);
            chunk.truncate(within(end - position));
            chunk.advance(within(start.saturating_sub(position)).min(chunk.len()));
            position += length;
            if !chunk.is_empty() {
                return Ok(Some((chunk, (stream, position))));
            }
        }
        Ok(None)
    });
    range.boxed_local()
}
