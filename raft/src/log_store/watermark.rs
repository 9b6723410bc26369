//! A second, tiny file that knows how far the log was.
//!
//! redb recovers from a torn last transaction by going back to the one before. That is right when the last one was
//! never answered for. When its pages rot *after* it was answered for, going back shortens the log silently, and a
//! node that votes with a shortened log can lose acknowledged writes (G7). So every transaction carries a number, and
//! after each one the number is also written here. A file that recovers to a smaller number is damaged.
//!
//! The number here is not synced by itself: it may lag behind after a power failure, it can never be ahead.

use std::{
    fs::{File, OpenOptions},
    io::Read,
    os::unix::fs::FileExt,
    path::Path,
};

const BYTES: usize = 12;

pub(super) struct Watermark {
    file: File,
}

impl Watermark {
    /// Opens or makes the file; the number in it, if it has a whole one.
    pub(super) fn open(path: &Path) -> std::io::Result<(Self, Option<u64>)> {
        let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut bytes = Vec::new();
        file.by_ref().take(BYTES as u64 + 1).read_to_end(&mut bytes)?;
        Ok((Self { file }, parse(&bytes)))
    }

    /// Notes that a transaction is durable.
    pub(super) fn raise(&self, sequence: u64) -> std::io::Result<()> {
        self.file.write_all_at(&image(sequence), 0)
    }
}

fn image(sequence: u64) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    bytes[..8].copy_from_slice(&sequence.to_le_bytes());
    let sum = crc32fast::hash(&bytes[..8]);
    bytes[8..].copy_from_slice(&sum.to_le_bytes());
    bytes
}

fn parse(bytes: &[u8]) -> Option<u64> {
    let sequence = u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?);
    (bytes == image(sequence)).then_some(sequence)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_read_back_and_a_torn_one_is_not() {
        assert_eq!(parse(&image(77)), Some(77));
        assert_eq!(parse(&image(77)[..11]), None);
        assert_eq!(parse(&[0; BYTES - 1]), None);
        let mut torn = image(77);
        torn[0] ^= 1;
        assert_eq!(parse(&torn), None);
    }
}
