//! Pairs: what the policies of a subject say to a peer, as lists of rules, each distinct one once.

use super::{
    intern::{Interner, number},
    ports::PortAtoms,
    rules::RuleTable,
};
use crate::{image::NONE, model::Action};

/// Distinct pairs on their way to verdicts.
#[derive(Debug, Default)]
pub(super) struct Pairs {
    /// Lists of `rule, set of ports, …`, one for each policy and kind of peer.
    pub(super) lists: Interner,
    /// `enforced fallback, trial fallback, list, …`, by policy in order, without empty lists.
    keys: Interner,
    /// For each pair the one of which it is an exception, or [`NONE`].
    parents: Vec<u32>,
    /// For each list what comes after it.
    kinds: Vec<Kind>,
}

/// What a list means for the lists behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// It has no rules.
    Empty,
    /// They may be asked.
    Open,
    /// They may be asked, but on some ports not those of its tier.
    Passes,
    /// They are not asked: it ends, on every port, with allow or deny, and passes nothing on.
    Ends,
}

impl Pairs {
    /// The pair of these lists. `parent`: the pair of the same subject with the peer's group.
    pub(super) fn id(
        &mut self,
        fallbacks: [u32; 2],
        lists: impl Iterator<Item = u32>,
        rules: &RuleTable,
        key: &mut Vec<u32>,
        parent: u32,
    ) -> u32 {
        let mut passes = false;
        key.clear();
        key.extend(fallbacks);
        self.note_kinds(rules);
        for list in lists {
            match self.kinds[list as usize] {
                Kind::Empty => {}
                Kind::Open => key.push(list),
                Kind::Passes => {
                    key.push(list);
                    passes = true;
                }
                Kind::Ends => {
                    key.push(list);
                    if !passes {
                        key[..2].fill(NONE);
                        break;
                    }
                }
            }
        }
        let pair = self.keys.id(key);
        if pair as usize == self.parents.len() {
            self.parents.push(if parent == pair { NONE } else { parent });
        }
        pair
    }

    fn note_kinds(&mut self, rules: &RuleTable) {
        for list in self.kinds.len()..self.lists.len() {
            self.kinds.push(Kind::of(self.lists.list(number(list)), rules));
        }
    }

    /// How many pairs there are.
    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    /// The pair of which this one is an exception, if any.
    pub(super) fn parent(&self, pair: u32) -> Option<u32> {
        let parent = self.parents[pair as usize];
        (parent != NONE).then_some(parent)
    }

    /// Both fallbacks of a pair.
    pub(super) fn fallbacks(&self, pair: u32) -> [u32; 2] {
        let key = self.keys.list(pair);
        [key[0], key[1]]
    }

    /// The rules of a pair in order, each with its set of ports.
    pub(super) fn rules(&self, pair: u32) -> impl Iterator<Item = (u32, u32)> {
        let lists = self.keys.list(pair)[2..].iter().map(|&list| self.lists.list(list));
        lists.flat_map(|list| list.chunks_exact(2).map(|entry| (entry[0], entry[1])))
    }
}

impl Kind {
    fn of(list: &[u32], rules: &RuleTable) -> Kind {
        let facts = |entry: &[u32]| rules.facts[entry[0] as usize];
        match list {
            [] => Kind::Empty,
            _ if list.chunks_exact(2).any(|entry| facts(entry).action == Action::Pass) => Kind::Passes,
            [.., rule, PortAtoms::ANY_SET] if rules.facts[*rule as usize].enforced => Kind::Ends,
            _ => Kind::Open,
        }
    }
}
