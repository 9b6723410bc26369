//! An element of the table of limits: what the buckets of one rule hold, and what they are found by.

use super::{LIMIT_NONE, LIMIT_WORDS, NONE, Tables};
use crate::model::{Rate, RuleLimits};

/// A token bucket as the programs read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// Nanoseconds until the next token comes back; never 0.
    pub interval_ns: u32,
    /// Tokens that it holds at most.
    pub burst: u32,
}

impl From<Rate> for Bucket {
    fn from(rate: Rate) -> Bucket {
        Bucket { interval_ns: rate.interval_ns(), burst: rate.burst }
    }
}

/// The limits of one rule. `None`: no such limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitEntry {
    /// By which the buckets are found: the same from one revision to the next as long as the rule and its limits are.
    pub id: u64,
    /// Packets.
    pub packets: Option<Bucket>,
    /// Packets that begin a connection or flow.
    pub new_connections: Option<Bucket>,
    /// Packets of each source.
    pub source_packets: Option<Bucket>,
    /// Packets of each source that begin a connection or flow.
    pub source_new_connections: Option<Bucket>,
}

impl LimitEntry {
    /// The entry of a rule with these limits.
    pub(crate) fn new(id: u64, limits: &RuleLimits) -> LimitEntry {
        LimitEntry {
            id,
            packets: limits.packets.map(Bucket::from),
            new_connections: limits.new_connections.map(Bucket::from),
            source_packets: limits.source_packets.map(Bucket::from),
            source_new_connections: limits.source_new_connections.map(Bucket::from),
        }
    }

    /// As an element of [`Tables::limits`].
    pub(crate) fn words(&self) -> [u32; LIMIT_WORDS] {
        let mut words = [0; LIMIT_WORDS];
        let [a, b, c, d, e, f, g, h] = self.id.to_le_bytes();
        words[0] = u32::from_le_bytes([a, b, c, d]);
        words[1] = u32::from_le_bytes([e, f, g, h]);
        let buckets = [self.packets, self.new_connections, self.source_packets, self.source_new_connections];
        for (pair, bucket) in words[2..].chunks_exact_mut(2).zip(buckets) {
            let Some(Bucket { interval_ns, burst }) = bucket else { continue };
            pair.copy_from_slice(&[interval_ns, burst]);
        }
        words
    }

    fn read(words: &[u32]) -> LimitEntry {
        let bucket = |at: usize| {
            let [interval_ns, burst] = [words[at], words[at + 1]];
            (interval_ns != 0).then_some(Bucket { interval_ns, burst })
        };
        LimitEntry {
            id: u64::from(words[0]) | u64::from(words[1]) << 32,
            packets: bucket(2),
            new_connections: bucket(4),
            source_packets: bucket(6),
            source_new_connections: bucket(8),
        }
    }
}

impl Tables {
    /// The limits at an index that a verdict gives.
    ///
    /// # Panics
    /// If the index is out of range; that of a verdict of the same tables is not.
    pub fn limit(&self, index: u32) -> LimitEntry {
        let at = index as usize * LIMIT_WORDS;
        LimitEntry::read(&self.limits[at..at + LIMIT_WORDS])
    }
}

/// The word of a verdict that says which limits apply: of the enforced rule and of the rule of the trial.
pub(crate) fn limit_word(enforced: u32, trial: u32) -> u32 {
    debug_assert!(enforced <= LIMIT_NONE && trial <= LIMIT_NONE, "indices of limits have 16 bits");
    enforced | trial << LIMIT_TRIAL_SHIFT
}

/// What [`limit_word`] was made from.
pub(crate) fn limits_of_word(word: u32) -> [Option<u32>; 2] {
    [word & LIMIT_NONE, word >> LIMIT_TRIAL_SHIFT].map(|index| (index != LIMIT_NONE).then_some(index))
}

/// Where the limit of the trial begins in the word.
const LIMIT_TRIAL_SHIFT: u32 = 16;

/// "Neither" is the same word as in every other table.
const _: () = assert!(LIMIT_NONE | LIMIT_NONE << LIMIT_TRIAL_SHIFT == NONE);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_as_it_was_written() {
        let entry = LimitEntry {
            id: 0x0123_4567_89ab_cdef,
            packets: None,
            new_connections: Some(Bucket { interval_ns: 10, burst: 20 }),
            source_packets: Some(Bucket { interval_ns: 30, burst: 40 }),
            source_new_connections: None,
        };
        let words = entry.words();
        assert_eq!(words, [0x89ab_cdef, 0x0123_4567, 0, 0, 10, 20, 30, 40, 0, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(LimitEntry::read(&words), entry);
    }

    #[test]
    fn a_word_has_two_indices() {
        assert_eq!(limits_of_word(limit_word(7, LIMIT_NONE)), [Some(7), None]);
        assert_eq!(limits_of_word(limit_word(LIMIT_NONE, 9)), [None, Some(9)]);
        assert_eq!(limits_of_word(NONE), [None, None]);
    }
}
