//! Hash-consing: equal lists of numbers become one number.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    rc::Rc,
};

/// A map for keys that the compiler makes itself; fast, and its order is never looked at.
pub(super) type WordMap<K, V> = HashMap<K, V, BuildHasherDefault<WordHasher>>;

/// Multiply and rotate, a word at a time. Nobody gains from colliding keys here but a slow compilation of their own policy.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WordHasher(u64);

/// An odd number without pattern: the fraction of pi.
const FACTOR: u64 = 0x243f_6a88_85a3_08d3;

impl WordHasher {
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(FACTOR);
    }
}

impl Hasher for WordHasher {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.mix(u64::from_le_bytes(word));
        }
    }

    fn write_u32(&mut self, word: u32) {
        self.mix(u64::from(word));
    }

    fn write_u64(&mut self, word: u64) {
        self.mix(word);
    }

    fn write_usize(&mut self, word: usize) {
        self.mix(word as u64);
    }

    fn finish(&self) -> u64 {
        let folded = self.0 ^ (self.0 >> 32);
        folded.wrapping_mul(FACTOR) ^ folded
    }
}

/// Numbers distinct lists in the order in which they come.
#[derive(Debug, Default)]
pub(super) struct Interner {
    ids: WordMap<Rc<[u32]>, u32>,
    lists: Vec<Rc<[u32]>>,
}

impl Interner {
    /// The number of a list, new or known.
    pub(super) fn id(&mut self, list: &[u32]) -> u32 {
        if let Some(&id) = self.ids.get(list) {
            return id;
        }
        let id = number(self.lists.len());
        let list: Rc<[u32]> = list.into();
        self.lists.push(Rc::clone(&list));
        self.ids.insert(list, id);
        id
    }

    /// The list of a number that [`Interner::id`] gave.
    pub(super) fn list(&self, id: u32) -> &[u32] {
        &self.lists[id as usize]
    }

    /// How many distinct lists there are.
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }
}

/// A count or position as a word of the tables. Documents are bounded far below 2^32.
pub(super) fn number(count: usize) -> u32 {
    u32::try_from(count).expect("what the compiler counts is bounded far below 2^32 by the limits of documents")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lists_are_one() {
        let mut interner = Interner::default();
        assert_eq!((interner.id(&[]), interner.id(&[1, 2]), interner.id(&[2, 1])), (0, 1, 2));
        assert_eq!((interner.id(&[1, 2]), interner.len()), (1, 3));
        assert_eq!(interner.list(2), [2, 1]);
    }
}
