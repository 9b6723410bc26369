//! Groups of peers: which terms are told apart by group, and which by cell.
//!
//! A term is *wide* if telling its peers one by one, in the cells of every subject whose policies name it, would cost more than
//! giving the peers that it tells apart groups of their own. A peer that no narrow term of a subject's policies holds is fully known by
//! its group; so only the others need cells.

use super::{
    Tuning,
    intern::{Interner, number},
    kinds::Kinds,
    limits::CompileLimits,
    lists::Lists,
    terms::Signatures,
};

/// What a cell costs in entries of the base: two words, and not every cell is full.
const CELL_COST: usize = 3;
/// Costs up to which terms are narrow, in multiples of the number of rows: candidates.
const BORDERS: [usize; 9] = [0, 1, 4, 16, 64, 256, 1_024, 16_384, usize::MAX];

/// The signatures of peers, and which hold each term.
pub(super) struct Peers<'a> {
    pub(super) signatures: &'a Signatures,
    of_term: Lists<u32>,
}

impl<'a> Peers<'a> {
    /// `terms`: how many terms there are.
    pub(super) fn new(signatures: &'a Signatures, terms: usize) -> Peers<'a> {
        let holding = (0..number(signatures.len()))
            .flat_map(|signature| signatures.terms(signature).iter().map(move |&term| (term, signature)));
        Peers { signatures, of_term: Lists::grouped(terms, holding) }
    }

    pub(super) fn of_term(&self, term: u32) -> &[u32] {
        self.of_term.get(term)
    }

    fn terms(&self) -> usize {
        self.of_term.len()
    }
}

/// Peers by what the wide terms tell apart.
pub(super) struct Groups {
    pub(super) wide: Vec<bool>,
    pub(super) group_of: Vec<u32>,
    /// The wide terms that hold in each group.
    pub(super) groups: Interner,
    /// For each group that around the peer with which it was met first; group 0, that of no wide term, is around itself.
    pub(super) around: Vec<u32>,
}

impl Groups {
    pub(super) fn choose(kinds: &Kinds<'_>, peers: &Peers<'_>, limits: &CompileLimits, tuning: &Tuning) -> Groups {
        let terms = peers.terms();
        let mentions = kinds.mentions(terms);
        let cost: Vec<usize> =
            (0..number(terms)).zip(&mentions).map(|(term, mentions)| mentions * peers.of_term(term).len()).collect();
        let rows = kinds.rows.len();
        let mut best: Option<((usize, usize), Groups)> = None;
        let mut tried = usize::MAX;
        let borders = tuning.peer_border.map_or(BORDERS.to_vec(), |border| vec![border]);
        for border in borders.into_iter().map(|factor| factor.saturating_mul(rows)) {
            let wide: Vec<bool> = cost.iter().zip(&mentions).map(|(&cost, &uses)| uses > 0 && cost > border).collect();
            // From border to border wide terms only become fewer: as many are the same.
            let wide_count = wide.iter().filter(|wide| **wide).count();
            if wide_count == tried {
                continue;
            }
            tried = wide_count;
            let narrow: usize = cost.iter().zip(&wide).filter(|(_, wide)| !**wide).map(|(cost, _)| cost).sum();
            let groups = Groups::new(wide, peers);
            let entries = rows * groups.groups.len();
            if narrow == 0 && entries <= tuning.dense_entries_max {
                return groups;
            }
            let beyond = entries.saturating_sub(limits.base_max) + narrow.saturating_sub(limits.cells_max) * CELL_COST;
            let total = (beyond, entries + narrow * CELL_COST);
            if best.as_ref().is_none_or(|(least, _)| total < *least) {
                best = Some((total, groups));
            }
        }
        best.map_or_else(|| Groups::new(vec![false; terms], peers), |(_, groups)| groups)
    }

    pub(super) fn new(wide: Vec<bool>, peers: &Peers<'_>) -> Groups {
        let mut groups = Interner::default();
        let mut held = Vec::new();
        let (mut group_of, mut around): (Vec<u32>, Vec<u32>) = (Vec::new(), Vec::new());
        for signature in 0..number(peers.signatures.len()) {
            held.clear();
            held.extend(peers.signatures.terms(signature).iter().filter(|&&term| wide[term as usize]));
            let group = groups.id(&held);
            if group as usize == around.len() {
                let outer = peers.signatures.around(signature);
                around.push(group_of.get(outer as usize).copied().unwrap_or(0));
            }
            group_of.push(group);
        }
        Groups { wide, group_of, groups, around }
    }

    /// The groups that each wide term holds.
    pub(super) fn by_term(&self) -> Lists<u32> {
        let holding = (0u32..).zip(self.groups.lists().iter());
        let holding = holding.flat_map(|(group, terms)| terms.iter().map(move |&term| (term, group)));
        Lists::grouped(self.wide.len(), holding)
    }
}
