//! Zip archives, byte by byte: sound ones, and those that no program makes.

use std::io::Write as _;

use flate2::{Compression, Crc, write::DeflateEncoder};

/// An entry as it will be written. All fields may be changed into lies.
#[derive(Clone)]
pub struct Entry {
    pub name: Vec<u8>,
    pub flags: u16,
    pub method: u16,
    pub crc: u32,
    pub size: u64,
    pub compressed: u64,
    /// Sizes as zip64 extra fields.
    pub zip64: bool,
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
        compressed: packed.len() as u64,
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
        flags: 0,
        method: 0,
        crc: crc.sum(),
        size: content.len() as u64,
        compressed: content.len() as u64,
        zip64: false,
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

    /// Sizes in 64 bits.
    pub fn with_zip64(mut self) -> Self {
        self.zip64 = true;
        self
    }

    /// Version, flags, method, time, checksum, sizes: what local header and directory have in common.
    fn common(&self, in_directory: bool) -> Vec<u8> {
        let later = self.flags & 8 != 0 && !in_directory;
        let mut bytes = Vec::new();
        let version: u16 = if self.zip64 { 45 } else { 20 };
        bytes.extend(version.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.method.to_le_bytes());
        bytes.extend(self.modified.0.to_le_bytes());
        bytes.extend(self.modified.1.to_le_bytes());
        bytes.extend(if later { 0 } else { self.crc }.to_le_bytes());
        for size in [self.compressed, self.size] {
            let short = match size {
                _ if self.zip64 => u32::MAX,
                _ if later => 0,
                size => u32::try_from(size).unwrap_or(u32::MAX),
            };
            bytes.extend(short.to_le_bytes());
        }
        bytes.extend((self.name.len() as u16).to_le_bytes());
        bytes.extend((self.extra(later).len() as u16).to_le_bytes());
        bytes
    }

    fn extra(&self, later: bool) -> Vec<u8> {
        let mut bytes = Vec::new();
        if self.zip64 {
            bytes.extend(1_u16.to_le_bytes());
            bytes.extend(16_u16.to_le_bytes());
            bytes.extend(if later { 0 } else { self.size }.to_le_bytes());
            bytes.extend(if later { 0 } else { self.compressed }.to_le_bytes());
        }
        bytes
    }

    fn local(&self) -> Vec<u8> {
        let later = self.flags & 8 != 0;
        let mut bytes = b"PK\x03\x04".to_vec();
        bytes.extend(self.common(false));
        bytes.extend(&self.name);
        bytes.extend(self.extra(later));
        bytes.extend(&self.packed);
        if later {
            bytes.extend(b"PK\x07\x08");
            bytes.extend(self.crc.to_le_bytes());
            for size in [self.compressed, self.size] {
                if self.zip64 {
                    bytes.extend(size.to_le_bytes());
                } else {
                    bytes.extend((size as u32).to_le_bytes());
                }
            }
        }
        bytes
    }

    fn directory(&self, offset: usize) -> Vec<u8> {
        let mut bytes = b"PK\x01\x02\x14\x03".to_vec();
        bytes.extend(self.common(true));
        // No comment, the first disk, and the mode of a plain file.
        bytes.extend([0, 0, 0, 0, 0, 0, 0, 0, 0xA4, 0x81]);
        bytes.extend((offset as u32).to_le_bytes());
        bytes.extend(&self.name);
        bytes.extend(self.extra(false));
        bytes
    }
}

/// The archive of these entries.
pub fn archive(entries: &[Entry]) -> Vec<u8> {
    let (mut bytes, mut directory) = (Vec::new(), Vec::new());
    for entry in entries {
        directory.extend(entry.directory(bytes.len()));
        bytes.extend(entry.local());
    }
    let start = bytes.len();
    bytes.extend(&directory);
    bytes.extend(b"PK\x05\x06\0\0\0\0");
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((entries.len() as u16).to_le_bytes());
    bytes.extend((directory.len() as u32).to_le_bytes());
    bytes.extend((start as u32).to_le_bytes());
    bytes.extend([0, 0]);
    bytes
}
