//! A policy as one kind of subject meets it, and which of its rules match a peer.

use super::{
    intern::{Interner, WordMap, number},
    ports::PortAtoms,
    terms::{PartPolicy, PartRule},
};

/// A policy without the services that the subject does not offer.
#[derive(Debug)]
pub(super) struct Variant<'a> {
    pub(super) policy: &'a PartPolicy,
    rules: Vec<VariantRule<'a>>,
    /// Positions of rules that a peer in no named set can match.
    open: Vec<u32>,
    /// Positions of rules by the term of a peer's scope.
    by_term: WordMap<u32, Vec<u32>>,
}

#[derive(Debug)]
struct VariantRule<'a> {
    rule: &'a PartRule,
    /// Sets of ports, each for peers of a term or for all.
    services: Vec<(Option<u32>, u32)>,
}

/// Up to so many rules are simply all looked at.
const SCAN_MAX: usize = 8;

impl<'a> Variant<'a> {
    /// `targets`: which of the policy's targets the subject is in; `None` if targets are looked for in the peer (egress).
    pub(super) fn new(policy: &'a PartPolicy, targets: Option<&[u32]>, ports: &mut PortAtoms) -> Variant<'a> {
        let rules: Vec<VariantRule<'a>> = policy
            .rules
            .iter()
            .filter_map(|rule| {
                let services = match targets {
                    None => rule.services.clone(),
                    Some(targets) => offered(rule, targets, ports).map(|set| (None, set)).into_iter().collect(),
                };
                (!services.is_empty()).then_some(VariantRule { rule, services })
            })
            .collect();
        let mut open = Vec::new();
        let mut by_term: WordMap<u32, Vec<u32>> = WordMap::default();
        for (position, rule) in (0u32..).zip(&rules) {
            if rule.rule.peers.is_empty() || rule.rule.peers.iter().any(|peer| peer.scope.is_none()) {
                open.push(position);
            }
            for term in rule.rule.peers.iter().filter_map(|peer| peer.scope) {
                by_term.entry(term).or_default().push(position);
            }
        }
        Variant { policy, rules, open, by_term }
    }

    /// The rules that match a peer for which exactly these terms hold, as a list of `rule, set of ports, …`. It ends after the first rule
    /// that matches on every port: what comes later in the policy is never asked.
    pub(super) fn matching(
        &self,
        peer: &[u32],
        lists: &mut Interner,
        ports: &mut PortAtoms,
        scratch: &mut Vec<u32>,
    ) -> u32 {
        let mut positions = std::mem::take(scratch);
        self.candidates(peer, &mut positions);
        let mut list = Vec::with_capacity(positions.len() * 2);
        for &position in &positions {
            let rule = &self.rules[position as usize];
            let Some(set) = rule.set_for(peer, ports) else { continue };
            list.extend([rule.rule.rule, set]);
            if set == PortAtoms::ANY_SET {
                break;
            }
        }
        *scratch = positions;
        lists.id(&list)
    }

    fn candidates(&self, peer: &[u32], positions: &mut Vec<u32>) {
        positions.clear();
        if self.rules.len() <= SCAN_MAX {
            positions.extend(0..number(self.rules.len()));
            return;
        }
        positions.extend(&self.open);
        for term in peer {
            positions.extend(self.by_term.get(term).into_iter().flatten());
        }
        positions.sort_unstable();
        positions.dedup();
    }
}

impl VariantRule<'_> {
    /// The ports on which the rule matches a peer, if any.
    fn set_for(&self, peer: &[u32], ports: &mut PortAtoms) -> Option<u32> {
        let holds = |term: &u32| peer.binary_search(term).is_ok();
        let peers = &self.rule.peers;
        let is_peer = peers.is_empty()
            || peers.iter().any(|one| one.scope.as_ref().is_none_or(holds) && !one.except.iter().any(holds));
        if !is_peer {
            return None;
        }
        let mut sets =
            self.services.iter().filter(|(target, _)| target.as_ref().is_none_or(holds)).map(|(_, set)| *set);
        let first = sets.next()?;
        let rest: Vec<u32> = sets.collect();
        if rest.is_empty() { Some(first) } else { Some(ports.union(&[&[first], rest.as_slice()].concat())) }
    }
}

/// The ports of a rule for a subject that is in these targets.
fn offered(rule: &PartRule, targets: &[u32], ports: &mut PortAtoms) -> Option<u32> {
    let holds = |term: &u32| targets.binary_search(term).is_ok();
    let sets: Vec<u32> =
        rule.services.iter().filter(|(target, _)| target.as_ref().is_none_or(holds)).map(|(_, set)| *set).collect();
    (!sets.is_empty()).then(|| ports.union(&sets))
}
