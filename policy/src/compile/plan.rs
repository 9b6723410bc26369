//! Which pair every subject and peer of a part come to: a base row over coarse groups of peers for each kind of subject, and cells
//! for the peers that its policies name more finely.

use super::{
    Tuning,
    groups::{Groups, Peers},
    kinds::Kinds,
    limits::{CompileError, CompileLimits},
    lists::{Lists, ascending},
    pairs::Pairs,
    ports::PortAtoms,
    rules::RuleTable,
    terms::{Part, Signatures},
    variant::{Scratch, Variant},
};
use crate::{
    image::{NONE, RULE_DEFAULT, TableId},
    model::{Mode, Model, Tier},
};

/// How far an estimate may be above a limit before the work is not begun.
const ESTIMATE_FACTOR: usize = 16;

/// What becomes of a part.
#[derive(Debug)]
pub(super) struct Plan {
    /// The row of each signature of a subject; [`NONE`]: no policy applies.
    pub(super) row_of: Vec<u32>,
    pub(super) rows: Vec<Row>,
    /// The group of each signature of a peer. Its column is its number.
    pub(super) group_of: Vec<u32>,
}

/// One kind of subject.
#[derive(Debug)]
pub(super) struct Row {
    /// Pair for each group.
    pub(super) base: Vec<u32>,
    /// (Peer, pair) where it is another one than that of the peer's group.
    pub(super) cells: Vec<(u32, u32)>,
}

/// What planning needs to know and adds to.
pub(super) struct Planner<'a> {
    pub(super) model: &'a Model,
    pub(super) limits: &'a CompileLimits,
    pub(super) tuning: &'a Tuning,
    pub(super) rules: &'a RuleTable,
    pub(super) ports: &'a mut PortAtoms,
    pub(super) pairs: &'a mut Pairs,
}

impl Planner<'_> {
    /// Plans one part for the signatures of its subjects and peers.
    pub(super) fn plan(
        &mut self,
        part: &Part,
        subjects: &Signatures,
        peers: &Signatures,
    ) -> Result<Plan, CompileError> {
        let kinds = Kinds::new(part, subjects, self.ports);
        let peers = Peers::new(peers, part.peers.len());
        let groups = Groups::choose(&kinds, &peers, self.limits, self.tuning);
        self.limits.check(TableId::Base, kinds.rows.len() * groups.groups.len() / ESTIMATE_FACTOR)?;
        let groups_of = groups.by_term();
        let matched: Vec<Matched> =
            kinds.variants.iter().map(|variant| self.matched(variant, &peers, &groups, &groups_of)).collect();
        let cells: usize = kinds.rows.iter().flatten().map(|&variant| matched[variant as usize].peers.at.len()).sum();
        self.limits.check(TableId::Cells, cells / ESTIMATE_FACTOR)?;
        let context = Context { part, kinds, peers, groups, matched };
        let rows = context.kinds.rows.iter().map(|variants| self.row(&context, variants)).collect();
        Ok(Plan { row_of: context.kinds.row_of, rows, group_of: context.groups.group_of })
    }

    fn matched(
        &mut self,
        variant: &Variant<'_>,
        peers: &Peers<'_>,
        groups: &Groups,
        groups_of: &Lists<u32>,
    ) -> Matched {
        let (wide, narrow): (Vec<u32>, Vec<u32>) =
            variant.policy.mentions.iter().partition(|&&term| groups.wide[term as usize]);
        let touched_groups = union(wide.iter().map(|&term| groups_of.get(term)));
        let touched_peers = union(narrow.iter().map(|&term| peers.of_term(term)));
        let mut scratch = Scratch::default();
        let mut list = |terms: &[u32]| variant.matching(terms, &mut self.pairs.lists, self.ports, &mut scratch);
        Matched {
            open: list(&[]),
            groups: Sparse::new(touched_groups, |group| list(groups.groups.list(group))),
            peers: Sparse::new(touched_peers, |peer| list(peers.signatures.terms(peer))),
        }
    }

    fn row(&mut self, context: &Context<'_>, variants: &[u32]) -> Row {
        let fallbacks = self.fallbacks(context.part, &context.kinds, variants);
        let matched: Vec<&Matched> = variants.iter().map(|&variant| &context.matched[variant as usize]).collect();
        let groups = &context.groups;
        let mut key = Vec::with_capacity(2 + matched.len());
        let open = self.pairs.id(fallbacks, matched.iter().map(|one| one.open), self.rules, &mut key, NONE);
        let mut base = vec![open; groups.around.len()];
        let mut walks: Vec<Walk<'_>> = matched.iter().map(|one| one.groups.walk()).collect();
        for group in union(matched.iter().map(|one| one.groups.at.as_slice())) {
            let lists = matched.iter().zip(&mut walks).map(|(one, walk)| walk.get(group).unwrap_or(one.open));
            let parent = base[groups.around[group as usize] as usize];
            base[group as usize] = self.pairs.id(fallbacks, lists, self.rules, &mut key, parent);
        }
        let mut cells: Vec<(u32, u32)> = Vec::new();
        let mut walks: Vec<Walk<'_>> = matched.iter().map(|one| one.peers.walk()).collect();
        for peer in union(matched.iter().map(|one| one.peers.at.as_slice())) {
            let group = groups.group_of[peer as usize];
            let lists = matched.iter().zip(&mut walks);
            let lists = lists.map(|(one, walk)| walk.get(peer).unwrap_or_else(|| one.of_group(group)));
            let around = context.peers.signatures.around(peer);
            let of_group = base[group as usize];
            let parent = cells.binary_search_by_key(&around, |cell| cell.0).map_or(of_group, |place| cells[place].1);
            let pair = self.pairs.id(fallbacks, lists, self.rules, &mut key, parent);
            if pair != of_group {
                cells.push((peer, pair));
            }
        }
        Row { base, cells }
    }

    /// What holds if no rule matches: of the enforced policies, and of all. [`NONE`]: the next layer is asked; behind the last one
    /// there is only the default.
    fn fallbacks(&self, part: &Part, kinds: &Kinds<'_>, variants: &[u32]) -> [u32; 2] {
        let policies = || variants.iter().map(|&variant| kinds.variants[variant as usize].policy.index);
        let rest = if part.last { RULE_DEFAULT } else { NONE };
        let unmatched = |index: usize| self.rules.unmatched(index, part.side).unwrap_or(rest);
        let application = |index: &usize| self.model.policies[*index].tier == Tier::Application;
        let enforced = |index: &usize| self.model.policies[*index].mode == Mode::Enforce;
        [
            policies().filter(application).find(enforced).map_or(rest, unmatched),
            policies().find(application).map_or(rest, unmatched),
        ]
    }
}

/// What every row of a part is made from.
struct Context<'a> {
    part: &'a Part,
    kinds: Kinds<'a>,
    peers: Peers<'a>,
    groups: Groups,
    matched: Vec<Matched>,
}

/// The lists of rules of one variant that match.
struct Matched {
    /// For a peer that none of its terms hold.
    open: u32,
    /// For the groups that its wide terms touch.
    groups: Sparse,
    /// For the peers that its narrow terms touch.
    peers: Sparse,
}

impl Matched {
    fn of_group(&self, group: u32) -> u32 {
        self.groups.get(group).unwrap_or(self.open)
    }
}

/// Values at some places, ascending.
struct Sparse {
    at: Vec<u32>,
    values: Vec<u32>,
}

impl Sparse {
    fn new(at: Vec<u32>, value: impl FnMut(u32) -> u32) -> Sparse {
        let values = at.iter().copied().map(value).collect();
        Sparse { at, values }
    }

    fn get(&self, place: u32) -> Option<u32> {
        self.at.binary_search(&place).ok().map(|index| self.values[index])
    }

    fn walk(&self) -> Walk<'_> {
        Walk { sparse: self, next: 0 }
    }
}

/// The same for places that are asked in ascending order.
struct Walk<'a> {
    sparse: &'a Sparse,
    next: usize,
}

impl Walk<'_> {
    fn get(&mut self, place: u32) -> Option<u32> {
        let at = &self.sparse.at;
        while at.get(self.next).is_some_and(|&other| other < place) {
            self.next += 1;
        }
        (at.get(self.next) == Some(&place)).then(|| self.sparse.values[self.next])
    }
}

/// Everything in any of these lists, ascending, once.
fn union<'a>(lists: impl Iterator<Item = &'a [u32]>) -> Vec<u32> {
    ascending(lists.flatten().copied().collect())
}
