//! Hash-consing: equal lists of numbers become one number.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use super::lists::Lists;
use crate::image::NONE;

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
    lists: Lists<u32>,
    /// A hash table with open addressing, at most half full; its length is a power of two.
    slots: Vec<Slot>,
}

/// A list in the table. Its hash stays beside its number: mostly, what is not the list wanted is not even looked at.
#[derive(Debug, Clone, Copy)]
struct Slot {
    hash: u32,
    /// [`NONE`]: nobody's.
    id: u32,
}

const SLOT_EMPTY: Slot = Slot { hash: 0, id: NONE };
/// Slots of the first table.
const SLOTS_MIN: usize = 16;

impl Interner {
    /// The number of a list, new or known.
    pub(super) fn id(&mut self, list: &[u32]) -> u32 {
        if self.slots.len() < (self.lists.len() + 1) * 2 {
            self.grow();
        }
        let hash = hash_of(list);
        // Word by word: lists are short, often empty, and comparing nothing by `memcmp` is dear.
        let slot = self.slot(hash, |id| self.lists.get(id).iter().eq(list));
        if self.slots[slot].id == NONE {
            self.slots[slot] = Slot { hash, id: self.lists.push(list.iter().copied()) };
        }
        self.slots[slot].id
    }

    /// The list of a number that [`Interner::id`] gave.
    pub(super) fn list(&self, id: u32) -> &[u32] {
        self.lists.get(id)
    }

    /// How many distinct lists there are.
    pub(super) fn len(&self) -> usize {
        self.lists.len()
    }

    /// All lists by number.
    pub(super) fn lists(&self) -> &Lists<u32> {
        &self.lists
    }

    /// The slot of the list with this hash that is the one wanted, or the empty one where it belongs.
    fn slot(&self, hash: u32, is_wanted: impl Fn(u32) -> bool) -> usize {
        let mask = self.slots.len() - 1;
        let mut place = hash as usize & mask;
        loop {
            let slot = self.slots[place];
            if slot.id == NONE || (slot.hash == hash && is_wanted(slot.id)) {
                return place;
            }
            place = (place + 1) & mask;
        }
    }

    fn grow(&mut self) {
        let larger = vec![SLOT_EMPTY; (self.slots.len() * 2).max(SLOTS_MIN)];
        for slot in std::mem::replace(&mut self.slots, larger) {
            if slot.id != NONE {
                let place = self.slot(slot.hash, |_| false);
                self.slots[place] = slot;
            }
        }
    }
}

fn hash_of(list: &[u32]) -> u32 {
    let mut hasher = WordHasher::default();
    hasher.write_usize(list.len());
    list.iter().for_each(|&word| hasher.write_u32(word));
    // The high half is the better mixed one.
    (hasher.finish() >> 32) as u32
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

    #[test]
    fn lists_keep_their_numbers_while_the_table_grows() {
        let mut interner = Interner::default();
        let list = |number: u32| [number / 7, number % 7];
        assert!((0..5_000).all(|number| interner.id(&list(number)) == number));
        assert!((0..5_000).all(|number| interner.id(&list(number)) == number));
        assert!((0..5_000).all(|number| interner.list(number) == list(number)));
    }
}
