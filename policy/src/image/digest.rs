//! The digest of an image, computed alike from the compiler's tables and from what is read back out of the kernel's maps (G5).

use identity::Digest;
use ring::digest::{Context, SHA256};

use super::Tables;

/// Words turned into bytes at a time.
const WORDS_BLOCK: usize = 4_096;

/// The SHA-256 over, for each section in the order given: the length of its name as a 32-bit number, the name, the number of its
/// words as a 64-bit number, and the words; all little-endian.
pub fn digest_of<'a>(sections: impl IntoIterator<Item = (&'a str, &'a [u32])>) -> Digest {
    let mut context = Context::new(&SHA256);
    let mut bytes = Vec::with_capacity(WORDS_BLOCK * size_of::<u32>());
    for (name, words) in sections {
        let name_len = u32::try_from(name.len()).expect("a table's name is a few bytes");
        context.update(&name_len.to_le_bytes());
        context.update(name.as_bytes());
        context.update(&(words.len() as u64).to_le_bytes());
        for block in words.chunks(WORDS_BLOCK) {
            bytes.clear();
            bytes.extend(block.iter().flat_map(|word| word.to_le_bytes()));
            context.update(&bytes);
        }
    }
    let hash = context.finish();
    Digest(hash.as_ref().try_into().expect("a SHA-256 is 32 bytes"))
}

impl Tables {
    /// The digest of these tables, in the order of [`super::TABLES`].
    pub fn digest(&self) -> Digest {
        digest_of(self.each().map(|(table, words)| (table.name(), words)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Image;

    #[test]
    fn g5_digest_is_the_same_from_sections_and_sees_every_word() {
        let image = Image::empty_allow();
        let digest = image.digest();
        let read_back: Vec<(&str, Vec<u32>)> =
            image.tables.each().map(|(table, words)| (table.name(), words.to_vec())).collect();
        assert_eq!(digest_of(read_back.iter().map(|(name, words)| (*name, words.as_slice()))), digest);
        let mut damaged = image.clone();
        damaged.tables.root6[65_535] ^= 1;
        assert_ne!(damaged.digest(), digest);
    }

    #[test]
    fn a_word_cannot_move_to_another_table() {
        assert_ne!(digest_of([("a", &[1, 2][..]), ("b", &[])]), digest_of([("a", &[1][..]), ("b", &[2])]));
    }
}
