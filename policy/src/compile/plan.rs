//! Which pair every subject and peer of a part come to: a base row over coarse groups of peers for each kind of subject, and cells
//! for the peers that its policies name more finely.
//!
//! A term is *wide* if telling its peers one by one, in the cells of every subject whose policies name it, would cost more than
//! giving the peers that it tells apart groups of their own. A peer that no narrow term of a subject's policies holds is fully known by
//! its group; so only the others need cells.

use std::collections::BTreeSet;

use super::{
    Tuning,
    intern::{Interner, WordMap, number},
    limits::{CompileError, CompileLimits},
    pairs::Pairs,
    ports::PortAtoms,
    rules::RuleTable,
    terms::{Part, Signatures},
    variant::Variant,
};
use crate::{
    image::{NONE, TableId},
    model::{Mode, Model, Tier},
    verdict::Side,
};

/// What a cell costs in entries of the base: two words, and not every cell is full.
const CELL_COST: usize = 3;
/// Costs by which terms become narrow, in multiples of the number of rows: candidates.
const BORDERS: [usize; 7] = [0, 1, 4, 16, 64, 512, usize::MAX];
/// How far an estimate may be above a limit before the work is not begun.
const ESTIMATE_FACTOR: usize = 4;

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
        let peers = Peers::new(&peers.0);
        let groups = Groups::choose(&kinds, &peers, self.tuning);
        self.limits.check(TableId::Base, kinds.rows.len() * groups.groups.len() / ESTIMATE_FACTOR)?;
        let matched: Vec<Matched> =
            kinds.variants.iter().map(|variant| self.matched(variant, &peers, &groups)).collect();
        let cells: usize = kinds.rows.iter().flatten().map(|&variant| matched[variant as usize].touched.len()).sum();
        self.limits.check(TableId::Cells, cells / ESTIMATE_FACTOR)?;
        let rows = kinds.rows.iter().map(|variants| self.row(part, &kinds, variants, &matched, &groups)).collect();
        Ok(Plan { row_of: kinds.row_of, rows, group_of: groups.group_of })
    }

    fn matched(&mut self, variant: &Variant<'_>, peers: &Peers<'_>, groups: &Groups) -> Matched {
        let narrow = variant.policy.mentions.iter().filter(|&&term| !groups.wide[term as usize]);
        let mut touched: Vec<u32> = narrow.flat_map(|&term| peers.of_term(term)).copied().collect();
        touched.sort_unstable();
        touched.dedup();
        let mut scratch = Vec::new();
        let mut list = |terms: &[u32]| variant.matching(terms, &mut self.pairs.lists, self.ports, &mut scratch);
        Matched {
            by_group: (0..number(groups.groups.len())).map(|group| list(groups.groups.list(group))).collect(),
            by_peer: touched.iter().map(|&peer| list(peers.signatures.list(peer))).collect(),
            touched,
        }
    }

    fn row(&mut self, part: &Part, kinds: &Kinds<'_>, variants: &[u32], matched: &[Matched], groups: &Groups) -> Row {
        let fallbacks = self.fallbacks(part.side, kinds, variants);
        let matched: Vec<&Matched> = variants.iter().map(|&variant| &matched[variant as usize]).collect();
        let mut key = Vec::with_capacity(2 + matched.len());
        let base: Vec<u32> = (0..groups.groups.len())
            .map(|group| {
                let lists = matched.iter().map(|one| one.by_group[group]);
                self.pairs.id(fallbacks, lists, self.rules, &mut key, NONE)
            })
            .collect();
        let mut cells = Vec::new();
        for (peer, places) in touched(&matched) {
            let group = groups.group_of[peer as usize] as usize;
            let lists = matched.iter().zip(&places).map(|(one, place)| match place {
                Some(place) => one.by_peer[*place],
                None => one.by_group[group],
            });
            let pair = self.pairs.id(fallbacks, lists, self.rules, &mut key, base[group]);
            if pair != base[group] {
                cells.push((peer, pair));
            }
        }
        Row { base, cells }
    }

    /// What holds if no rule matches: of the enforced policies, and of all.
    fn fallbacks(&self, side: Side, kinds: &Kinds<'_>, variants: &[u32]) -> [u32; 2] {
        let policies = || variants.iter().map(|&variant| kinds.variants[variant as usize].policy.index);
        let unmatched = |index: usize| self.rules.unmatched(index, side).unwrap_or(NONE);
        let application = |index: &usize| self.model.policies[*index].tier == Tier::Application;
        let enforced = |index: &usize| self.model.policies[*index].mode == Mode::Enforce;
        [
            policies().filter(application).find(enforced).map_or(NONE, unmatched),
            policies().find(application).map_or(NONE, unmatched),
        ]
    }
}

/// The lists of rules of one variant that match: for each group, and for the peers that its narrow terms touch.
struct Matched {
    by_group: Vec<u32>,
    touched: Vec<u32>,
    by_peer: Vec<u32>,
}

/// The peers that any of these touches, ascending, with where each has them.
fn touched(matched: &[&Matched]) -> Vec<(u32, Vec<Option<usize>>)> {
    let peers: BTreeSet<u32> = match matched {
        [one] => return one.touched.iter().enumerate().map(|(place, &peer)| (peer, vec![Some(place)])).collect(),
        several => several.iter().flat_map(|one| &one.touched).copied().collect(),
    };
    let places = |peer: u32| matched.iter().map(|one| one.touched.binary_search(&peer).ok()).collect();
    peers.into_iter().map(|peer| (peer, places(peer))).collect()
}

/// Kinds of subjects: those to which the same policies apply in the same way.
struct Kinds<'a> {
    row_of: Vec<u32>,
    /// The variants of each row, in the order of the policies.
    rows: Vec<Vec<u32>>,
    variants: Vec<Variant<'a>>,
    /// In how many rows each variant is.
    uses: Vec<usize>,
}

impl<'a> Kinds<'a> {
    fn new(part: &'a Part, subjects: &Signatures, ports: &mut PortAtoms) -> Kinds<'a> {
        let mut applying: Vec<Vec<u32>> = vec![Vec::new(); part.subjects.atoms().len()];
        let mut to_all = Vec::new();
        for (position, policy) in (0u32..).zip(&part.policies) {
            match policy.subject {
                Some(term) => applying[term as usize].push(position),
                None => to_all.push(position),
            }
        }
        let (mut rows, mut variants, mut keys) = (Interner::default(), Vec::new(), Interner::default());
        let row_of = (0..number(subjects.0.len())).map(|signature| {
            let terms = subjects.0.list(signature);
            let mut policies = to_all.clone();
            policies.extend(terms.iter().flat_map(|&term| &applying[term as usize]));
            policies.sort_unstable();
            if policies.is_empty() {
                return NONE;
            }
            let row: Vec<u32> = policies
                .into_iter()
                .map(|position| {
                    let policy = &part.policies[position as usize];
                    let targets = held(&policy.targets, terms);
                    let key = keys.id(&[&[position], targets.as_slice()].concat());
                    if key as usize == variants.len() {
                        let targets = (part.side == Side::Ingress).then_some(targets.as_slice());
                        variants.push(Variant::new(policy, targets, ports));
                    }
                    key
                })
                .collect();
            rows.id(&row)
        });
        let row_of = row_of.collect();
        let rows: Vec<Vec<u32>> = (0..number(rows.len())).map(|row| rows.list(row).to_vec()).collect();
        let mut uses = vec![0; variants.len()];
        rows.iter().flatten().for_each(|&variant| uses[variant as usize] += 1);
        Kinds { row_of, rows, variants, uses }
    }

    /// How many rows name each term of a peer (counted once for each policy that does).
    fn mentions(&self, terms: usize) -> Vec<usize> {
        let mut mentions = vec![0; terms];
        for (variant, uses) in self.variants.iter().zip(&self.uses) {
            variant.policy.mentions.iter().for_each(|&term| mentions[term as usize] += uses);
        }
        mentions
    }
}

/// The elements of `few` that are in `terms`; both ascending.
fn held(few: &[u32], terms: &[u32]) -> Vec<u32> {
    few.iter().copied().filter(|term| terms.binary_search(term).is_ok()).collect()
}

/// The signatures of peers, and which hold each term.
struct Peers<'a> {
    signatures: &'a Interner,
    of_term: WordMap<u32, Vec<u32>>,
}

impl<'a> Peers<'a> {
    fn new(signatures: &'a Interner) -> Peers<'a> {
        let mut of_term: WordMap<u32, Vec<u32>> = WordMap::default();
        for signature in 0..number(signatures.len()) {
            for &term in signatures.list(signature) {
                of_term.entry(term).or_default().push(signature);
            }
        }
        Peers { signatures, of_term }
    }

    fn of_term(&self, term: u32) -> &[u32] {
        self.of_term.get(&term).map_or(&[], Vec::as_slice)
    }

    /// More than every term that holds anywhere.
    fn terms(&self) -> usize {
        self.of_term.keys().max().map_or(0, |&last| last as usize + 1)
    }
}

/// Peers by what the wide terms tell apart.
struct Groups {
    wide: Vec<bool>,
    group_of: Vec<u32>,
    /// The wide terms that hold in each group.
    groups: Interner,
}

impl Groups {
    fn choose(kinds: &Kinds<'_>, peers: &Peers<'_>, tuning: &Tuning) -> Groups {
        let named = kinds.variants.iter().filter_map(|variant| variant.policy.mentions.last()).max();
        let terms = peers.terms().max(named.map_or(0, |&last| last as usize + 1));
        let mentions = kinds.mentions(terms);
        let cost: Vec<usize> =
            (0..number(terms)).zip(&mentions).map(|(term, mentions)| mentions * peers.of_term(term).len()).collect();
        let rows = kinds.rows.len();
        let mut best: Option<(usize, Groups)> = None;
        let borders = tuning.peer_border.map_or(BORDERS.to_vec(), |border| vec![border]);
        for border in borders.into_iter().map(|factor| factor.saturating_mul(rows)) {
            let wide: Vec<bool> = cost.iter().zip(&mentions).map(|(&cost, &uses)| uses > 0 && cost > border).collect();
            let narrow: usize = cost.iter().zip(&wide).filter(|(_, wide)| !**wide).map(|(cost, _)| cost).sum();
            if best.as_ref().is_some_and(|(_, known)| known.wide == wide) {
                continue;
            }
            let groups = Groups::new(wide, peers);
            let entries = rows * groups.groups.len();
            if narrow == 0 && entries <= tuning.dense_entries_max {
                return groups;
            }
            let total = entries + narrow * CELL_COST;
            if best.as_ref().is_none_or(|(least, _)| total < *least) {
                best = Some((total, groups));
            }
        }
        best.map_or_else(|| Groups::new(vec![false; terms], peers), |(_, groups)| groups)
    }

    fn new(wide: Vec<bool>, peers: &Peers<'_>) -> Groups {
        let mut groups = Interner::default();
        let mut held = Vec::new();
        let group_of = (0..number(peers.signatures.len()))
            .map(|signature| {
                held.clear();
                held.extend(peers.signatures.list(signature).iter().filter(|&&term| wide[term as usize]));
                groups.id(&held)
            })
            .collect();
        Groups { wide, group_of, groups }
    }
}
