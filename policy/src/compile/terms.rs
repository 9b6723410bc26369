//! What the rules of one direction and layer say, in numbers: policies with their subjects, rules with their peers and ports.
//!
//! A *term* is a set of addresses as a rule names it (a segment, a selection of segments, the members, a network). An *atom* is a
//! set of networks of which terms are unions: a segment, the members, one network.

use std::collections::BTreeMap;

use ipnet::IpNet;

use super::{
    intern::{Interner, WordMap, number},
    ports::PortAtoms,
    rules::RuleTable,
};
use crate::{
    model::{Model, Peer, Rule, Scope},
    verdict::Side,
};

/// A set of addresses whose networks are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Atom {
    /// Every address of every member.
    Members,
    /// By position in the model.
    Segment(usize),
    /// One network.
    Network(IpNet),
}

/// Terms of one role (subjects or peers of one part), numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Terms {
    ids: BTreeMap<Vec<Atom>, u32>,
    atoms: Vec<Vec<Atom>>,
}

impl Terms {
    fn id(&mut self, atoms: Vec<Atom>) -> u32 {
        if let Some(&id) = self.ids.get(&atoms) {
            return id;
        }
        let id = number(self.atoms.len());
        self.ids.insert(atoms.clone(), id);
        self.atoms.push(atoms);
        id
    }

    /// The term of a scope; `None` for every address.
    fn of_scope(&mut self, scope: &Scope) -> Option<u32> {
        let atoms = match scope {
            Scope::Any => return None,
            Scope::Members => vec![Atom::Members],
            Scope::Segments(segments) => segments.iter().copied().map(Atom::Segment).collect(),
            Scope::Cidr(network) => vec![Atom::Network(*network)],
        };
        Some(self.id(atoms))
    }

    /// The atoms of each term.
    pub(super) fn atoms(&self) -> &[Vec<Atom>] {
        &self.atoms
    }
}

/// One direction of one layer.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) side: Side,
    /// Whether no layer comes after this one.
    pub(super) last: bool,
    pub(super) policies: Vec<PartPolicy>,
    pub(super) subjects: Terms,
    pub(super) peers: Terms,
}

/// A policy in a part.
#[derive(Debug)]
pub(super) struct PartPolicy {
    /// Position in the model.
    pub(super) index: usize,
    /// Whom it applies to; `None`: everybody.
    pub(super) subject: Option<u32>,
    pub(super) rules: Vec<PartRule>,
    /// Ingress only: terms of the subject that decide which services count, ascending.
    pub(super) targets: Vec<u32>,
    /// Terms of peers that some rule names, ascending.
    pub(super) mentions: Vec<u32>,
}

/// A rule in a part.
#[derive(Debug)]
pub(super) struct PartRule {
    /// Index among the rules of the image.
    pub(super) rule: u32,
    /// Empty: everybody.
    pub(super) peers: Vec<PartPeer>,
    /// Services; a set of ports for each target, `None` where the destination may be anybody. Never empty.
    pub(super) services: Vec<(Option<u32>, u32)>,
}

/// One peer of a rule.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PartPeer {
    /// `None`: everybody.
    pub(super) scope: Option<u32>,
    pub(super) except: Vec<u32>,
}

impl Part {
    /// The given policies of the model, for one direction.
    pub(super) fn new(
        side: Side,
        last: bool,
        model: &Model,
        policies: &[usize],
        rules: &RuleTable,
        ports: &mut PortAtoms,
    ) -> Part {
        let mut part = Part { side, last, policies: Vec::new(), subjects: Terms::default(), peers: Terms::default() };
        for &index in policies {
            let policy = &model.policies[index];
            if let Some(list) = policy.rules(side) {
                let subject = part.subjects.of_scope(&policy.applies_to);
                let rules = part.rules(list, rules.first(index, side), ports);
                let (targets, mentions) = part.named(&rules);
                part.policies.push(PartPolicy { index, subject, rules, targets, mentions });
            }
        }
        part
    }

    fn rules(&mut self, list: &[Rule], first: u32, ports: &mut PortAtoms) -> Vec<PartRule> {
        (first..)
            .zip(list)
            .map(|(index, rule)| PartRule {
                rule: index,
                peers: self.rule_peers(rule),
                services: self.services(rule, ports),
            })
            .collect()
    }

    fn rule_peers(&mut self, rule: &Rule) -> Vec<PartPeer> {
        let peers: Vec<PartPeer> = rule.peers.iter().map(|peer| self.peer(peer)).collect();
        let everybody = PartPeer { scope: None, except: Vec::new() };
        if peers.contains(&everybody) { Vec::new() } else { peers }
    }

    fn peer(&mut self, peer: &Peer) -> PartPeer {
        let scope = self.peers.of_scope(&peer.scope);
        let except = peer.except.iter().map(|network| self.peers.id(vec![Atom::Network(*network)])).collect();
        PartPeer { scope, except }
    }

    /// Services by the destination that they ask for: the subject at ingress, the peer at egress.
    fn services(&mut self, rule: &Rule, ports: &mut PortAtoms) -> Vec<(Option<u32>, u32)> {
        if rule.services.is_empty() {
            return vec![(None, PortAtoms::ANY_SET)];
        }
        let terms = match self.side {
            Side::Ingress => &mut self.subjects,
            Side::Egress => &mut self.peers,
        };
        let mut by_target: BTreeMap<Option<u32>, Vec<u32>> = BTreeMap::new();
        for service in &rule.services {
            let target = service.target.map(|segment| terms.id(vec![Atom::Segment(segment)]));
            by_target.entry(target).or_default().push(ports.atom(service.ports));
        }
        by_target.into_iter().map(|(target, atoms)| (target, ports.set(atoms))).collect()
    }

    /// Terms of subjects as targets, and terms of peers, that the rules name.
    fn named(&self, rules: &[PartRule]) -> (Vec<u32>, Vec<u32>) {
        let peers = || rules.iter().flat_map(|rule| &rule.peers);
        let targets = || rules.iter().flat_map(|rule| &rule.services).filter_map(|(target, _)| *target);
        let mut mentions: Vec<u32> = peers().flat_map(|peer| peer.scope.iter().chain(&peer.except)).copied().collect();
        let mut subject_targets = Vec::new();
        match self.side {
            Side::Ingress => subject_targets.extend(targets()),
            Side::Egress => mentions.extend(targets()),
        }
        for list in [&mut mentions, &mut subject_targets] {
            list.sort_unstable();
            list.dedup();
        }
        (subject_targets, mentions)
    }
}

/// For each atom, by the number it gets here: who names it.
#[derive(Debug, Default)]
pub(super) struct AtomIndex {
    ids: WordMap<Atom, u32>,
    atoms: Vec<Atom>,
    /// `role << 32 | term`.
    named_by: Vec<Vec<u64>>,
}

impl AtomIndex {
    /// Indexes the terms of a role.
    pub(super) fn add(&mut self, role: usize, terms: &Terms) {
        for (term, atoms) in terms.atoms().iter().enumerate() {
            for atom in atoms {
                let id = *self.ids.entry(*atom).or_insert_with(|| {
                    self.atoms.push(*atom);
                    self.named_by.push(Vec::new());
                    number(self.atoms.len() - 1)
                });
                self.named_by[id as usize].push((role as u64) << 32 | term as u64);
            }
        }
    }

    /// Every atom by its number.
    pub(super) fn atoms(&self) -> &[Atom] {
        &self.atoms
    }

    /// The terms of each role, ascending, that hold for an address in these atoms.
    pub(super) fn terms_of(&self, atoms: &[u32], roles: &mut [Vec<u32>]) {
        let mut found: Vec<u64> = atoms.iter().flat_map(|&atom| &self.named_by[atom as usize]).copied().collect();
        found.sort_unstable();
        found.dedup();
        for list in roles.iter_mut() {
            list.clear();
        }
        for word in found {
            roles[(word >> 32) as usize].push(u32::try_from(word & u64::from(u32::MAX)).expect("masked to 32 bits"));
        }
    }
}

/// Distinct sets of terms of one role; number 0 is the empty set.
#[derive(Debug)]
pub(super) struct Signatures {
    sets: Interner,
    /// For each the signature of the network around that in which it was first met: mostly, all but a few of its terms.
    around: Vec<u32>,
}

impl Signatures {
    pub(super) fn new() -> Signatures {
        let mut sets = Interner::default();
        sets.id(&[]);
        Signatures { sets, around: vec![0] }
    }

    /// The number of a set, met inside a network of signature `around`.
    pub(super) fn id(&mut self, terms: &[u32], around: u32) -> u32 {
        let id = self.sets.id(terms);
        if id as usize == self.around.len() {
            self.around.push(around);
        }
        id
    }

    /// The terms of a signature, ascending.
    pub(super) fn terms(&self, signature: u32) -> &[u32] {
        self.sets.list(signature)
    }

    /// The signature around this one; smaller, but for that of the empty set.
    pub(super) fn around(&self, signature: u32) -> u32 {
        self.around[signature as usize]
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
    }
}
