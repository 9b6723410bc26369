//! Counters of rules that go on when a revision changes: a rule is known by its policy, side and name.

use std::collections::HashMap;

use policy::Image;

use crate::{enforcer::Count, generation::Generations};

/// What the rules of the two halves are called, and what was counted before those.
#[derive(Debug, Default)]
pub(crate) struct RuleCounts {
    /// Names of the rules in each half; empty if this process has neither filled nor adopted it.
    names: [Vec<String>; 2],
    /// What was counted in halves that have been filled again since.
    before: HashMap<String, Count>,
    /// The half that was live before and may still be counting.
    ended: Option<u32>,
}

impl RuleCounts {
    /// Names the rules of a half that an earlier process has filled.
    pub(crate) fn adopt(&mut self, generation: u32, image: &Image) {
        self.names[(generation & 1) as usize] = names(image);
    }

    /// Called when no packet can still be counting in the half of `next`, and before it is filled for `image`.
    pub(crate) fn fill(&mut self, generations: &Generations, next: u32, image: &Image) {
        let slot = (next & 1) as usize;
        if let Some(ended) = self.ended.take_if(|ended| *ended & 1 == next & 1) {
            for (name, count) in self.names[slot].iter().zip(generations.rule_counts(ended)) {
                *self.before.entry(name.clone()).or_default() += count;
            }
        }
        self.names[slot] = names(image);
    }

    /// Called after the flip from one generation to another. What neither of the two knows is forgotten.
    pub(crate) fn flipped(&mut self, from: u32) {
        self.ended = (from != 0).then_some(from);
        let [one, other] = &self.names;
        let known: std::collections::HashSet<&String> = one.iter().chain(other).collect();
        self.before.retain(|name, _| known.contains(name));
    }

    /// The count of each rule of the live generation.
    pub(crate) fn live(&self, generations: &Generations) -> Vec<Count> {
        let generation = generations.generation();
        let mut counts = generations.rule_counts(generation);
        let mut before = self.before.clone();
        if let Some(ended) = self.ended {
            for (name, count) in self.names[(ended & 1) as usize].iter().zip(generations.rule_counts(ended)) {
                *before.entry(name.clone()).or_default() += count;
            }
        }
        for (count, name) in counts.iter_mut().zip(&self.names[(generation & 1) as usize]) {
            *count += before.get(name).copied().unwrap_or_default();
        }
        counts
    }
}

fn names(image: &Image) -> Vec<String> {
    image.rules.iter().map(ToString::to_string).collect()
}
