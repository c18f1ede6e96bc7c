//! Reads one entry of a zip archive as a stream: a local header, then stored or deflated content. Size and checksum are
//! verified before the last chunk is passed on. Holds one chunk in memory.
//!
//! The layout is that of APPNOTE.TXT sections 4.3.7 to 4.3.9. The directory at the end of an archive is not read here.

use bytes::{Buf as _, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use futures::{StreamExt as _, stream};

use super::{
    MAX_SIZE,
    byte_reader::{ByteReader, ByteStream},
};
use crate::error::{Error, Unavailable};

/// Maximum length of an unpacked chunk, in bytes.
const CHUNK: usize = 64 * 1024;
/// Signature of a local header.
pub(super) const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// Signature of a data descriptor. It is optional.
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// The supported compression methods.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The "version needed to extract" of entries in the zip64 format (APPNOTE.TXT section 4.4.3.2).
const ZIP64_VERSION: u16 = 45;
/// Bytes of a local header before the name, including the signature.
pub(super) const HEADER_LENGTH: u64 = 30;

/// The header in front of an entry's content.
#[derive(Debug)]
pub(super) struct LocalHeader {
    pub(super) name: Vec<u8>,
    /// The whole header.
    pub(super) bytes: Vec<u8>,
    method: u16,
    is_encrypted: bool,
    /// Sizes and checksum are in a data descriptor after the content.
    has_descriptor: bool,
    crc: u32,
    compressed: u64,
    size: u64,
}

impl LocalHeader {
    /// Reads a header from behind its signature.
    ///
    /// # Errors
    /// [`Unavailable::EntryUnsupported`] for an entry in the zip64 format, which is for files of 4 GiB and more: `PlanExe`
    /// writes none, and they would be too large.
    pub(super) async fn read_from(reader: &mut ByteReader) -> Result<Self, Error> {
        let fixed: [u8; 26] = reader.read_array().await?;
        let mut fields = fixed.as_slice();
        let (version, flags, method) = (fields.get_u16_le(), fields.get_u16_le(), fields.get_u16_le());
        let _time_and_date = fields.get_u32_le();
        let (crc, compressed, size) = (fields.get_u32_le(), fields.get_u32_le(), fields.get_u32_le());
        let (name_length, extra_length) = (fields.get_u16_le(), fields.get_u16_le());
        if version >= ZIP64_VERSION {
            return Err(Unavailable::EntryUnsupported.into());
        }
        let name = reader.read_vec(name_length).await?;
        let extra = reader.read_vec(extra_length).await?;
        Ok(Self {
            bytes: [&LOCAL_HEADER, fixed.as_slice(), &name, &extra].concat(),
            name,
            method,
            is_encrypted: flags & 1 != 0,
            has_descriptor: flags & 8 != 0,
            crc,
            compressed: compressed.into(),
            size: size.into(),
        })
    }

    /// Describes the content.
    ///
    /// # Errors
    /// [`Unavailable`] when it is too large or not supported.
    pub(super) fn content(&self) -> Result<Content, Unavailable> {
        let method = Method::from_number(self.method, self.is_encrypted)?;
        if !self.has_descriptor {
            return Content::known(method, self.compressed, self.size, self.crc);
        }
        match method {
            Method::Deflated => Ok(Content { method, known: None }),
            // The end of stored content without a known length cannot be found.
            Method::Stored => Err(Unavailable::EntryUnsupported),
        }
    }

    /// The length of the content in the archive, in bytes.
    ///
    /// # Errors
    /// [`Unavailable::EntryUnsupported`] when it is known only after the content.
    pub(super) fn content_length(&self) -> Result<u64, Unavailable> {
        if self.has_descriptor {
            return Err(Unavailable::EntryUnsupported);
        }
        Ok(self.compressed)
    }

    /// Skips the content. Returns the number of bytes that were unpacked to find its end.
    pub(super) async fn skip_content(&self, reader: &mut ByteReader) -> Result<u64, Error> {
        if !self.has_descriptor {
            reader.skip(self.compressed).await?;
            return Ok(0);
        }
        let mut unpacker = Unpacker::new(self.content()?);
        while unpacker.next_chunk(reader).await?.is_some() {}
        Ok(unpacker.produced)
    }
}

/// How content is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    /// The method with this number in a header.
    ///
    /// # Errors
    /// [`Unavailable::EntryUnsupported`] for an unknown number and for encrypted content.
    pub(super) fn from_number(number: u16, is_encrypted: bool) -> Result<Self, Unavailable> {
        match number {
            _ if is_encrypted => Err(Unavailable::EntryUnsupported),
            STORED => Ok(Self::Stored),
            DEFLATED => Ok(Self::Deflated),
            _ => Err(Unavailable::EntryUnsupported),
        }
    }
}

/// Describes an entry's content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    method: Method,
    /// Compressed size, size and CRC-32; `None` when they follow the content.
    known: Option<(u64, u64, u32)>,
}

impl Content {
    /// Content whose sizes and checksum are known before reading.
    ///
    /// # Errors
    /// [`Unavailable::TooLarge`]; [`Unavailable::ArchiveBroken`] for stored content with two different sizes.
    pub(super) fn known(method: Method, compressed: u64, size: u64, crc: u32) -> Result<Self, Unavailable> {
        if size > MAX_SIZE || compressed > MAX_SIZE {
            return Err(Unavailable::TooLarge);
        }
        if method == Method::Stored && compressed != size {
            return Err(Unavailable::ArchiveBroken);
        }
        Ok(Self {
            method,
            known: Some((compressed, size, crc)),
        })
    }

    /// Size of the file in bytes, where it is known before reading.
    pub(crate) fn size(&self) -> Option<u64> {
        self.known.map(|(_, size, _)| size)
    }
}

/// Unpacks the content of one entry.
pub(super) struct Unpacker {
    content: Content,
    inflate: Decompress,
    crc: Crc,
    consumed: u64,
    produced: u64,
    has_ended: bool,
}

impl Unpacker {
    pub(super) fn new(content: Content) -> Self {
        Self {
            content,
            inflate: Decompress::new(false),
            crc: Crc::new(),
            consumed: 0,
            produced: 0,
            has_ended: false,
        }
    }

    /// The next chunk, which is never empty. `None` at the end, after size and checksum have been verified.
    async fn next_chunk(&mut self, reader: &mut ByteReader) -> Result<Option<Bytes>, Error> {
        while !self.has_ended {
            let chunk = match self.content.method {
                Method::Stored => self.copy(reader).await?,
                Method::Deflated => self.inflate(reader).await?,
            };
            if self.has_ended {
                self.verify(reader).await?;
            }
            if !chunk.is_empty() {
                return Ok(Some(chunk));
            }
        }
        Ok(None)
    }

    async fn copy(&mut self, reader: &mut ByteReader) -> Result<Bytes, Error> {
        let left = self.content.known.map_or(0, |(compressed, ..)| compressed) - self.consumed;
        if left > 0 && !reader.fill().await? {
            return Err(Unavailable::ArchiveBroken.into());
        }
        let length = usize::try_from(left)
            .map_or(CHUNK, |left| left.min(CHUNK))
            .min(reader.buffer.len());
        self.consumed += length as u64;
        self.has_ended = left == length as u64;
        self.count(reader.buffer.split_to(length))
    }

    async fn inflate(&mut self, reader: &mut ByteReader) -> Result<Bytes, Error> {
        let left = self.content.known.map(|(compressed, ..)| compressed - self.consumed);
        let mut unpacked = vec![0; CHUNK];
        loop {
            // The decompressor may still hold output when there is no new input.
            let length = left
                .and_then(|left| usize::try_from(left).ok())
                .map_or(reader.buffer.len(), |left| left.min(reader.buffer.len()));
            let input = reader.buffer.get(..length).unwrap_or_default();
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut unpacked, FlushDecompress::None);
            let status = status.map_err(|_| Unavailable::ArchiveBroken)?;
            let read = self.inflate.total_in() - before_in;
            let written = self.inflate.total_out() - before_out;
            reader
                .buffer
                .advance(usize::try_from(read).map_or(length, |read| read.min(length)));
            self.consumed += read;
            self.has_ended = status == Status::StreamEnd;
            if read > 0 || written > 0 || self.has_ended {
                unpacked.truncate(usize::try_from(written).unwrap_or(CHUNK));
                return self.count(unpacked.into());
            }
            // Truncated or corrupt deflate data.
            if length > 0 || left == Some(0) || !reader.fill().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
        }
    }

    /// Updates size and checksum. Fails when the size exceeds what the header says, or [`MAX_SIZE`].
    fn count(&mut self, chunk: Bytes) -> Result<Bytes, Error> {
        self.crc.update(&chunk);
        self.produced += chunk.len() as u64;
        match self.content.known {
            Some((_, size, _)) if self.produced > size => Err(Unavailable::ArchiveBroken.into()),
            _ if self.produced > MAX_SIZE => Err(Unavailable::TooLarge.into()),
            _ => Ok(chunk),
        }
    }

    /// Compares sizes and checksum with those of the header, or of the descriptor after the content.
    async fn verify(&mut self, reader: &mut ByteReader) -> Result<(), Error> {
        let expected = match self.content.known {
            Some(known) => known,
            None => read_descriptor(reader).await?,
        };
        if expected == (self.consumed, self.produced, self.crc.sum()) {
            Ok(())
        } else {
            Err(Unavailable::ArchiveBroken.into())
        }
    }
}

/// Reads the data descriptor after the content: compressed size, size and CRC-32.
async fn read_descriptor(reader: &mut ByteReader) -> Result<(u64, u64, u32), Error> {
    let mut crc = reader.read_array().await?;
    if crc == DESCRIPTOR {
        crc = reader.read_array().await?;
    }
    let (compressed, size) = (reader.read_array().await?, reader.read_array().await?);
    let number = u32::from_le_bytes;
    Ok((number(compressed).into(), number(size).into(), number(crc)))
}

/// Unpacks the content that begins at the reader's position.
///
/// Each chunk is passed on after the next one has been unpacked, and the last one after verification. So a receiver never
/// gets all bytes of a file that turns out to be corrupt.
pub(crate) fn unpacked(reader: ByteReader, content: Content) -> ByteStream {
    let state = (reader, Unpacker::new(content), None);
    let chunks = stream::try_unfold(state, |(mut reader, mut unpacker, mut held)| async move {
        loop {
            let next = unpacker.next_chunk(&mut reader).await?;
            let is_last = next.is_none();
            let ready = std::mem::replace(&mut held, next);
            match ready {
                Some(chunk) => return Ok(Some((chunk, (reader, unpacker, held)))),
                None if is_last => return Ok(None),
                None => {}
            }
        }
    });
    chunks.boxed_local()
}
