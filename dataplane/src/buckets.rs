//! The token buckets of rules: emptied of what nobody charges any more, and carried over from one revision to the next.

use std::collections::HashMap;

use policy::{TableId, image::LIMIT_WORDS};

use crate::{
    abi,
    error::OpenError,
    generation::{Generations, slot},
    object::Object,
    sizes::Placement,
    sys::Mapped,
};

/// 64-bit words of a rule's buckets in one half.
const HALF_WORDS: usize = size_of::<abi::Bucket>() / 8;
/// 64-bit words of a rule's buckets.
const RULE_WORDS: usize = size_of::<abi::Buckets>() / 8;

/// `hr_buckets`: each bucket is the instant at which it is full again.
pub(crate) struct Buckets {
    map: Mapped,
}

impl Buckets {
    pub(crate) fn open(object: &Object, placement: &Placement) -> Result<Buckets, OpenError> {
        let words = placement.elements(TableId::Limits) * RULE_WORDS * 2;
        Ok(Buckets { map: object.mapped("hr_buckets", words)? })
    }

    /// Fills the buckets of so many limits in the half of a generation that no packet reads.
    pub(crate) fn fill(&self, generation: u32, limits: usize) {
        for rule in 0..limits {
            places(generation, rule).for_each(|place| self.map.store64(place, 0));
        }
    }

    /// Carries over what has been taken from the buckets of the limits given. Called before the flip, so that no packet of the next generation
    /// meets a full bucket, and again after it, for what was let pass by the old one in between. The later instant holds: what was taken
    /// from both buckets between the two calls, some microseconds, is charged once and not twice, and what a packet takes that is still in
    /// the old generation after the second call is not charged. More is not gained.
    pub(crate) fn carry(&self, carried: &Carried) {
        for (old, new) in &carried.rules {
            for (from, to) in places(carried.from, *old).zip(places(carried.to, *new)) {
                self.map.raise64(to, self.map.load64(from));
            }
        }
    }
}

/// The limits that are the same in two generations.
pub(crate) struct Carried {
    from: u32,
    to: u32,
    /// Index of each in the one and in the other.
    rules: Vec<(usize, usize)>,
}

impl Carried {
    pub(crate) fn of(generations: &Generations, from: u32, to: u32) -> Carried {
        let known: HashMap<u64, usize> = ids(generations.limits(from)).zip(0..).collect();
        let same = ids(generations.limits(to)).zip(0..).filter_map(|(id, new)| Some((*known.get(&id)?, new)));
        Carried { from, to, rules: same.collect() }
    }
}

/// The ids of limits, in their order.
fn ids(limits: &[u32]) -> impl Iterator<Item = u64> {
    limits.chunks_exact(LIMIT_WORDS).map(|words| u64::from(words[0]) | u64::from(words[1]) << 32)
}

/// Where the buckets of a rule lie in the half of a generation.
fn places(generation: u32, rule: usize) -> impl Iterator<Item = usize> {
    let first = rule * RULE_WORDS + slot(generation) * HALF_WORDS;
    first..first + HALF_WORDS
}
