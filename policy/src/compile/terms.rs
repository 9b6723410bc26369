//! What the rules of one direction and layer say, in numbers: policies with their subjects, rules with their peers and ports.
//!
//! A *term* is a set of addresses as a rule names it (a segment, a selection of segments, the members, a network). An *atom* is a
//! set of networks of which terms are unions: a segment, the members, one network.

use ipnet::IpNet;

use super::{
    intern::{Interner, WordMap, number},
    lists::{Lists, ascending},
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

/// Every atom that some term has, numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Atoms {
    ids: WordMap<Atom, u32>,
    atoms: Vec<Atom>,
}

impl Atoms {
    fn id(&mut self, atom: Atom) -> u32 {
        *self.ids.entry(atom).or_insert_with(|| {
            self.atoms.push(atom);
            number(self.atoms.len() - 1)
        })
    }

    /// Every atom by its number.
    pub(super) fn all(&self) -> &[Atom] {
        &self.atoms
    }
}

/// What rules name.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) atoms: Atoms,
    pub(super) ports: PortAtoms,
}

impl Names {
    pub(super) fn new() -> Names {
        Names { atoms: Atoms::default(), ports: PortAtoms::new() }
    }
}

/// Terms of one role (subjects or peers of one part), numbered as they come.
#[derive(Debug, Default)]
pub(super) struct Terms {
    /// The atoms of each.
    sets: Interner,
}

impl Terms {
    /// The term of a scope; `None` for every address.
    fn of_scope(&mut self, scope: &Scope, atoms: &mut Atoms) -> Option<u32> {
        Some(match scope {
            Scope::Any => return None,
            Scope::Members => self.of_atom(Atom::Members, atoms),
            Scope::Segments(segments) => {
                let set: Vec<u32> = segments.iter().map(|&segment| atoms.id(Atom::Segment(segment))).collect();
                self.sets.id(&set)
            }
            Scope::Cidr(network) => self.of_atom(Atom::Network(*network), atoms),
        })
    }

    fn of_atom(&mut self, atom: Atom, atoms: &mut Atoms) -> u32 {
        self.sets.id(&[atoms.id(atom)])
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.sets.len()
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
    /// Index of its first rule among the rules of the image. The others follow.
    pub(super) first: u32,
    /// For each rule its peers. Empty: everybody.
    pub(super) peers: Lists<PartPeer>,
    /// For each rule its services: a set of ports for each target, `None` where the destination may be anybody. Never empty.
    pub(super) services: Lists<Service>,
    /// Terms that peers are not, by [`PartPeer::except`].
    pub(super) excepts: Interner,
    /// Ingress only: terms of the subject that decide which services count, ascending.
    pub(super) targets: Vec<u32>,
    /// Terms of peers that some rule names, ascending.
    pub(super) mentions: Vec<u32>,
}

/// A target and a set of ports.
pub(super) type Service = (Option<u32>, u32);

/// One peer of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PartPeer {
    /// `None`: everybody.
    pub(super) scope: Option<u32>,
    /// The number of a list of terms.
    pub(super) except: u32,
}

impl Part {
    /// The given policies of the model, for one direction.
    pub(super) fn new(
        side: Side,
        last: bool,
        model: &Model,
        policies: &[usize],
        rules: &RuleTable,
        names: &mut Names,
    ) -> Part {
        let mut part = Part { side, last, policies: Vec::new(), subjects: Terms::default(), peers: Terms::default() };
        for &index in policies {
            let policy = &model.policies[index];
            if let Some(list) = policy.rules(side) {
                let subject = part.subjects.of_scope(&policy.applies_to, &mut names.atoms);
                let policy = part.policy(index, subject, list, rules.first(index, side), names);
                part.policies.push(policy);
            }
        }
        part
    }

    fn policy(
        &mut self,
        index: usize,
        subject: Option<u32>,
        rules: &[Rule],
        first: u32,
        names: &mut Names,
    ) -> PartPolicy {
        let (mut peers, mut services, mut excepts) = (Lists::default(), Lists::default(), Interner::default());
        for rule in rules {
            let is_everybody = |peer: &Peer| peer.scope == Scope::Any && peer.except.is_empty();
            let named = if rule.peers.iter().any(is_everybody) { &[] } else { rule.peers.as_slice() };
            peers.push(named.iter().map(|peer| self.peer(peer, &mut excepts, &mut names.atoms)));
            self.add_services(rule, names, &mut services);
        }
        let excepted = excepts.lists().items();
        let mut mentions: Vec<u32> =
            peers.items().iter().filter_map(|peer| peer.scope).chain(excepted.iter().copied()).collect();
        let named = services.items().iter().filter_map(|(target, _)| *target);
        let mut targets = Vec::new();
        match self.side {
            Side::Ingress => targets.extend(named),
            Side::Egress => mentions.extend(named),
        }
        let [mentions, targets] = [mentions, targets].map(ascending);
        PartPolicy { index, subject, first, peers, services, excepts, targets, mentions }
    }

    fn peer(&mut self, peer: &Peer, excepts: &mut Interner, atoms: &mut Atoms) -> PartPeer {
        let scope = self.peers.of_scope(&peer.scope, atoms);
        let except: Vec<u32> =
            peer.except.iter().map(|network| self.peers.of_atom(Atom::Network(*network), atoms)).collect();
        PartPeer { scope, except: excepts.id(&except) }
    }

    /// Adds the services of a rule by the destination that they ask for: the subject at ingress, the peer at egress.
    fn add_services(&mut self, rule: &Rule, names: &mut Names, services: &mut Lists<Service>) {
        if rule.services.is_empty() {
            services.push([(None, PortAtoms::ANY_SET)]);
            return;
        }
        let terms = match self.side {
            Side::Ingress => &mut self.subjects,
            Side::Egress => &mut self.peers,
        };
        let named = rule.services.iter().map(|service| {
            let target = service.target.map(|segment| terms.of_atom(Atom::Segment(segment), &mut names.atoms));
            (target, names.ports.atom(service.ports))
        });
        let mut named: Vec<Service> = named.collect();
        named.sort_unstable();
        let by_target = named.chunk_by(|one, other| one.0 == other.0);
        let set = |group: &[Service]| (group[0].0, names.ports.set(group.iter().map(|service| service.1).collect()));
        services.push(by_target.map(set));
    }
}

/// For each atom who names it.
#[derive(Debug)]
pub(super) struct AtomIndex {
    /// (Role, term) each.
    named_by: Lists<(u32, u32)>,
}

impl AtomIndex {
    /// `roles`: the terms of each role.
    pub(super) fn new(atoms: &Atoms, roles: &[&Terms]) -> AtomIndex {
        let names = (0u32..).zip(roles).flat_map(|(role, terms)| {
            let terms = (0u32..).zip(terms.sets.lists().iter());
            terms.flat_map(move |(term, atoms)| atoms.iter().map(move |&atom| (atom, (role, term))))
        });
        AtomIndex { named_by: Lists::grouped(atoms.all().len(), names) }
    }

    /// The terms of each role, ascending, that hold for an address in these atoms.
    pub(super) fn terms_of(&self, atoms: &[u32], roles: &mut [Vec<u32>]) {
        roles.iter_mut().for_each(Vec::clear);
        for &(role, term) in atoms.iter().flat_map(|&atom| self.named_by.get(atom)) {
            roles[role as usize].push(term);
        }
        for terms in roles {
            terms.sort_unstable();
            terms.dedup();
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
