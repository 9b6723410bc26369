//! A policy as one kind of subject meets it, and which of its rules match a peer.

use super::{
    intern::{Interner, number},
    lists::Lists,
    ports::PortAtoms,
    terms::{PartPeer, PartPolicy, Service},
};

/// A policy without the services that the subject does not offer.
#[derive(Debug)]
pub(super) struct Variant<'a> {
    pub(super) policy: &'a PartPolicy,
    /// Which rules of the policy are left, ascending.
    rules: Vec<u32>,
    /// For each of them its sets of ports, each for peers of a term or for all.
    services: Lists<Service>,
    /// Positions in `rules` of those that a peer in no named set can match.
    open: Vec<u32>,
    /// (Term of a peer's scope, position in `rules`), ascending.
    by_term: Vec<(u32, u32)>,
}

/// What [`Variant::matching`] works in.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    positions: Vec<u32>,
    list: Vec<u32>,
}

/// Up to so many rules are simply all looked at.
const SCAN_MAX: usize = 8;

impl<'a> Variant<'a> {
    /// `targets`: which of the policy's targets the subject is in; `None` if targets are looked for in the peer (egress).
    pub(super) fn new(policy: &'a PartPolicy, targets: Option<&[u32]>, ports: &mut PortAtoms) -> Variant<'a> {
        let (mut rules, mut services) = (Vec::new(), Lists::default());
        for (rule, all) in (0u32..).zip(policy.services.iter()) {
            match targets {
                None => _ = services.push(all.iter().copied()),
                Some(targets) => match set_for(all, targets, ports) {
                    Some(set) => _ = services.push([(None, set)]),
                    None => continue,
                },
            }
            rules.push(rule);
        }
        let (mut open, mut by_term) = (Vec::new(), Vec::new());
        for (position, &rule) in (0u32..).zip(&rules) {
            let peers = policy.peers.get(rule);
            if peers.is_empty() || peers.iter().any(|peer| peer.scope.is_none()) {
                open.push(position);
            }
            by_term.extend(peers.iter().filter_map(|peer| Some((peer.scope?, position))));
        }
        by_term.sort_unstable();
        Variant { policy, rules, services, open, by_term }
    }

    /// The rules that match a peer for which exactly these terms hold, as a list of `rule, set of ports, …`. It ends after the first rule
    /// that matches on every port: what comes later in the policy is never asked.
    pub(super) fn matching(
        &self,
        peer: &[u32],
        lists: &mut Interner,
        ports: &mut PortAtoms,
        scratch: &mut Scratch,
    ) -> u32 {
        let Scratch { positions, list } = scratch;
        self.candidates(peer, positions);
        list.clear();
        for &position in positions.iter() {
            let rule = self.rules[position as usize];
            if !self.is_peer(rule, peer) {
                continue;
            }
            let Some(set) = set_for(self.services.get(position), peer, ports) else { continue };
            list.extend([self.policy.first + rule, set]);
            if set == PortAtoms::ANY_SET {
                break;
            }
        }
        lists.id(list)
    }

    fn candidates(&self, peer: &[u32], positions: &mut Vec<u32>) {
        positions.clear();
        if self.rules.len() <= SCAN_MAX {
            positions.extend(0..number(self.rules.len()));
            return;
        }
        positions.extend(&self.open);
        for &term in peer {
            let from = self.by_term.partition_point(|&(other, _)| other < term);
            let of_term = self.by_term[from..].iter().take_while(|&&(other, _)| other == term);
            positions.extend(of_term.map(|&(_, position)| position));
        }
        positions.sort_unstable();
        positions.dedup();
    }

    fn is_peer(&self, rule: u32, terms: &[u32]) -> bool {
        let holds = |term: &u32| terms.binary_search(term).is_ok();
        let matches = |peer: &PartPeer| {
            peer.scope.as_ref().is_none_or(holds) && !self.policy.excepts.list(peer.except).iter().any(holds)
        };
        let peers = self.policy.peers.get(rule);
        peers.is_empty() || peers.iter().any(matches)
    }
}

/// The ports of services whose targets are among these terms or that ask for none; `None` if there are no such services.
fn set_for(services: &[Service], terms: &[u32], ports: &mut PortAtoms) -> Option<u32> {
    let holds = |term: &u32| terms.binary_search(term).is_ok();
    if let [(None, set)] = services {
        return Some(*set);
    }
    let sets: Vec<u32> =
        services.iter().filter(|(target, _)| target.as_ref().is_none_or(holds)).map(|(_, set)| *set).collect();
    (!sets.is_empty()).then(|| ports.union(&sets))
}
