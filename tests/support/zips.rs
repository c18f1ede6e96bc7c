//! Zip archives, byte by byte: sound ones, and those that no program makes.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// An entry as it will be written. All fields may be changed into lies.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    /// The version of the format that it needs.
    pub version: u16,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub size: u32,
    pub compressed: u32,
    /// Time and date in the form of MS-DOS: 2026-01-31, 12:00.
    pub modified: (u16, u16),
    pub packed: Vec<u8>,
}

/// A deflated entry.
pub fn deflated(name: &str, content: &[u8]) -> Entry {
    let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory");
    let packed = encoder.finish().expect("memory");
    Entry {
        method: 8,
        compressed: packed.len() as u32,
        packed,
        ..stored(name, content)
    }
}

/// A stored entry.
pub fn stored(name: &str, content: &[u8]) -> Entry {
    let mut crc = Crc::new();
    crc.update(content);
    Entry {
        name: name.into(),
        version: 20,
        flags: 0,
        method: 0,
        crc: crc.sum(),
        size: content.len() as u32,
        compressed: content.len() as u32,
        modified: (12 << 11, (46 << 9) | (1 << 5) | 31),
        packed: content.to_vec(),
    }
}

impl Entry {
    /// Sizes and checksum come after the content, as streaming writers put them.
    pub fn with_descriptor(mut self) -> Self {
        self.flags |= 8;
        self
    }

    /// What local header and directory have in common: from the version to the lengths.
    fn common(&self, sizes: &[u8]) -> Vec<u8> {
        let before = [self.version, self.flags, self.method, self.modified.0, self.modified.1];
        let lengths = [self.name.len() as u16, 0];
        [
            &before.map(u16::to_le_bytes).concat(),
            sizes,
            &lengths.map(u16::to_le_bytes).concat(),
        ]
        .concat()
    }

    /// Checksum and sizes.
    fn sizes(&self) -> Vec<u8> {
        [self.crc, self.compressed, self.size].map(u32::to_le_bytes).concat()
    }

    fn local(&self) -> Vec<u8> {
        let sizes = self.sizes();
        let (here, later) = if self.flags & 8 == 0 {
            (sizes, Vec::new())
        } else {
            (vec![0; 12], [b"PK\x07\x08", &*sizes].concat())
        };
        [b"PK\x03\x04", &*self.common(&here), &self.name, &self.packed, &later].concat()
    }

    fn directory(&self, offset: usize) -> Vec<u8> {
        // No comment, the first disk, and the mode of a plain file.
        let rest = [0, 0, 0, 0, 0, 0, 0, 0, 0xA4, 0x81];
        let offset = (offset as u32).to_le_bytes();
        [
            b"PK\x01\x02\x14\x03",
            &*self.common(&self.sizes()),
            &rest,
            &offset,
            &self.name,
        ]
        .concat()
    }
}

/// The archive of these entries.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.directory(bytes.len()));
        bytes.extend(entry.local());
    }
    let count = (entries.len() as u16).to_le_bytes();
    let place = [directory.len() as u32, bytes.len() as u32]
        .map(u32::to_le_bytes)
        .concat();
    [
        &*bytes,
        &directory,
        b"PK\x05\x06\0\0\0\0",
        &count,
        &count,
        &place,
        &[0, 0],
    ]
    .concat()
}
