//! Unpacks one entry of a zip archive while its bytes arrive: a local header, then stored or deflated content, checked
//! against size and checksum before its last piece is handed on. Holds a piece at a time.
//!
//! The layout is that of APPNOTE.TXT sections 4.3.7 to 4.3.9; the directory at the end of an archive is not read here.

use bytes::{Buf as _, Bytes};
use flate2::{Crc, Decompress, FlushDecompress, Status};
use futures::{StreamExt as _, stream};

use super::{
    MAX_SIZE,
    feed::{Feed, Pieces},
};
use crate::error::{Error, Unavailable};

/// Unpacked bytes that are handed on at once.
const PIECE: usize = 64 * 1024;
/// Begins a local header.
pub(super) const LOCAL_HEADER: [u8; 4] = *b"PK\x03\x04";
/// May begin a data descriptor.
const DESCRIPTOR: [u8; 4] = *b"PK\x07\x08";
/// The methods that runs are packed with.
const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// The version of the format that an entry needs which is written as files beyond 4 GiB are (APPNOTE.TXT section 4.4.3.2).
const ZIP64_VERSION: u16 = 45;
/// Fixed part of a local header, its signature included.
pub(super) const HEADER_LENGTH: u64 = 30;

/// What a local header says of the entry that follows it.
#[derive(Debug)]
pub(super) struct LocalHeader {
    pub(super) name: Vec<u8>,
    /// Bytes of the header.
    pub(super) length: u64,
    method: u16,
    is_encrypted: bool,
    /// Sizes and checksum come after the content.
    has_descriptor: bool,
    crc: u32,
    compressed: u64,
    size: u64,
}

impl LocalHeader {
    /// Reads a header whose signature has been read.
    ///
    /// # Errors
    /// [`Unavailable::EntryUnsupported`] for an entry in the form of files beyond 4 GiB (zip64): `PlanExe` writes none, and
    /// such files would be refused for their size.
    pub(super) async fn read(feed: &mut Feed) -> Result<Self, Error> {
        let fixed: [u8; 26] = feed.take().await?;
        let mut fields = fixed.as_slice();
        let (version, flags, method) = (fields.get_u16_le(), fields.get_u16_le(), fields.get_u16_le());
        let _time_and_date = fields.get_u32_le();
        let (crc, compressed, size) = (fields.get_u32_le(), fields.get_u32_le(), fields.get_u32_le());
        let (name_length, extra_length) = (fields.get_u16_le(), fields.get_u16_le());
        if version >= ZIP64_VERSION {
            return Err(Unavailable::EntryUnsupported.into());
        }
        let name = feed.take_short(name_length).await?;
        feed.skip(extra_length.into()).await?;
        Ok(Self {
            name,
            length: HEADER_LENGTH + u64::from(name_length) + u64::from(extra_length),
            method,
            is_encrypted: flags & 1 != 0,
            has_descriptor: flags & 8 != 0,
            crc,
            compressed: compressed.into(),
            size: size.into(),
        })
    }

    /// What is known of the content before it is read.
    pub(super) fn content(&self) -> Result<Content, Unavailable> {
        let method = Method::of(self.method, self.is_encrypted)?;
        if !self.has_descriptor {
            return Content::known(method, self.compressed, self.size, self.crc);
        }
        match method {
            Method::Deflated => Ok(Content { method, known: None }),
            // Nothing says where it ends.
            Method::Stored => Err(Unavailable::EntryUnsupported),
        }
    }

    /// Skips the content. Returns the bytes that had to be unpacked for that.
    pub(super) async fn skip(&self, feed: &mut Feed) -> Result<u64, Error> {
        if !self.has_descriptor {
            feed.skip(self.compressed).await?;
            return Ok(0);
        }
        let mut unpacker = Unpacker::new(self.content()?);
        while unpacker.next(feed).await?.is_some() {}
        Ok(unpacker.produced)
    }
}

/// How content is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Stored,
    Deflated,
}

impl Method {
    /// The method of a number in a header.
    pub(super) fn of(number: u16, is_encrypted: bool) -> Result<Self, Unavailable> {
        match number {
            _ if is_encrypted => Err(Unavailable::EntryUnsupported),
            STORED => Ok(Self::Stored),
            DEFLATED => Ok(Self::Deflated),
            _ => Err(Unavailable::EntryUnsupported),
        }
    }
}

/// What is known of an entry's content.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Content {
    method: Method,
    /// Packed size, size and CRC-32; `None` when they come after the content.
    known: Option<(u64, u64, u32)>,
}

impl Content {
    /// Content of which all is known.
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

    /// Bytes of the file, where they are known beforehand.
    pub(crate) fn size(&self) -> Option<u64> {
        self.known.map(|(_, size, _)| size)
    }
}

/// Unpacks one entry's content, piece by piece.
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

    /// The next piece, never an empty one. `None` once the whole is there and is what its header says.
    async fn next(&mut self, feed: &mut Feed) -> Result<Option<Bytes>, Error> {
        while !self.has_ended {
            let piece = match self.content.method {
                Method::Stored => self.copy(feed).await?,
                Method::Deflated => self.inflate(feed).await?,
            };
            if self.has_ended {
                self.check(feed).await?;
            }
            if !piece.is_empty() {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    async fn copy(&mut self, feed: &mut Feed) -> Result<Bytes, Error> {
        let left = self.content.known.map_or(0, |(compressed, ..)| compressed) - self.consumed;
        if left > 0 && !feed.wait().await? {
            return Err(Unavailable::ArchiveBroken.into());
        }
        let length = usize::try_from(left)
            .map_or(PIECE, |left| left.min(PIECE))
            .min(feed.rest.len());
        self.consumed += length as u64;
        self.has_ended = left == length as u64;
        self.count(feed.rest.split_to(length))
    }

    async fn inflate(&mut self, feed: &mut Feed) -> Result<Bytes, Error> {
        let left = self.content.known.map(|(compressed, ..)| compressed - self.consumed);
        let mut unpacked = vec![0; PIECE];
        loop {
            // Bytes that are left in the inflater need no new ones.
            let length = left
                .and_then(|left| usize::try_from(left).ok())
                .map_or(feed.rest.len(), |left| left.min(feed.rest.len()));
            let input = feed.rest.get(..length).unwrap_or_default();
            let (before_in, before_out) = (self.inflate.total_in(), self.inflate.total_out());
            let status = self.inflate.decompress(input, &mut unpacked, FlushDecompress::None);
            let status = status.map_err(|_| Unavailable::ArchiveBroken)?;
            let read = self.inflate.total_in() - before_in;
            let written = self.inflate.total_out() - before_out;
            feed.rest
                .advance(usize::try_from(read).map_or(length, |read| read.min(length)));
            self.consumed += read;
            self.has_ended = status == Status::StreamEnd;
            if read > 0 || written > 0 || self.has_ended {
                unpacked.truncate(usize::try_from(written).unwrap_or(PIECE));
                return self.count(unpacked.into());
            }
            // Cut short, or damaged.
            if length > 0 || left == Some(0) || !feed.wait().await? {
                return Err(Unavailable::ArchiveBroken.into());
            }
        }
    }

    /// Keeps size and checksum up to date, and both within bounds.
    fn count(&mut self, piece: Bytes) -> Result<Bytes, Error> {
        self.crc.update(&piece);
        self.produced += piece.len() as u64;
        match self.content.known {
            Some((_, size, _)) if self.produced > size => Err(Unavailable::ArchiveBroken.into()),
            _ if self.produced > MAX_SIZE => Err(Unavailable::TooLarge.into()),
            _ => Ok(piece),
        }
    }

    /// Compares what has come with what its header, or the descriptor behind it, says.
    async fn check(&mut self, feed: &mut Feed) -> Result<(), Error> {
        let said = match self.content.known {
            Some(known) => known,
            None => descriptor(feed).await?,
        };
        if said == (self.consumed, self.produced, self.crc.sum()) {
            Ok(())
        } else {
            Err(Unavailable::ArchiveBroken.into())
        }
    }
}

/// Packed size, size and CRC-32 after the content. The signature in front of them is optional.
async fn descriptor(feed: &mut Feed) -> Result<(u64, u64, u32), Error> {
    let mut crc = feed.take().await?;
    if crc == DESCRIPTOR {
        crc = feed.take().await?;
    }
    let (compressed, size) = (feed.take().await?, feed.take().await?);
    let number = u32::from_le_bytes;
    Ok((number(compressed).into(), number(size).into(), number(crc)))
}

/// The unpacked bytes of the entry whose content comes next.
///
/// A piece is handed on when the next one has been unpacked, and the last one when the whole has been checked: who has
/// received all bytes has the right ones.
pub(crate) fn unpacked(feed: Feed, content: Content) -> Pieces {
    let state = (feed, Unpacker::new(content), None);
    let pieces = stream::try_unfold(state, |(mut feed, mut unpacker, mut held)| async move {
        loop {
            let next = unpacker.next(&mut feed).await?;
            let is_last = next.is_none();
            let ready = std::mem::replace(&mut held, next);
            match ready {
                Some(piece) => return Ok(Some((piece, (feed, unpacker, held)))),
                None if is_last => return Ok(None),
                None => {}
            }
        }
    });
    pieces.boxed_local()
}
