//! Address classes: two addresses are of one class if and only if the same terms of every role hold for them.

use std::net::IpAddr;

use ipnet::IpNet;

use super::{
    intern::Interner,
    terms::{Atom, AtomIndex, Atoms, Part, Signatures, Terms},
    trie::{Node, Trie, contains},
};
use crate::{image::TableId, model::Model};

/// Roles of an address in a part: subject and peer.
pub(super) const ROLES: usize = 2;

/// The classes of a policy's addresses.
#[derive(Debug)]
pub(super) struct Addresses {
    pub(super) root4: Vec<u32>,
    pub(super) root6: Vec<u32>,
    pub(super) trie: Trie,
    /// For each class the number of its signature in each role: `part * ROLES` as subject, then as peer.
    pub(super) classes: Interner,
    /// The signatures of each role.
    pub(super) signatures: Vec<Signatures>,
}

/// A network of an atom; the family keeps equal bits apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Named {
    v6: bool,
    addr: u128,
    len: u8,
    atom: u32,
}

impl Addresses {
    pub(super) fn new(
        model: &Model,
        members: &[IpAddr],
        parts: &[Part],
        atoms: &Atoms,
        chunks_max: usize,
    ) -> Addresses {
        let roles: Vec<&Terms> = parts.iter().flat_map(|part| [&part.subjects, &part.peers]).collect();
        let mut named = named_networks(model, members, atoms);
        named.sort_unstable();
        named.dedup();
        let mut classifier = Classifier::new(AtomIndex::new(atoms, &roles), roles.len());
        let nodes_v6 = named.partition_point(|named| !named.v6);
        let (v4, v6) = named.split_at(nodes_v6);
        let (v4, v6) = (classifier.nodes(v4), classifier.nodes(v6));
        let mut trie = Trie::new(chunks_max);
        let (root4, root6) = (trie.root4(&v4, 0), trie.root6(&v6, 0));
        Addresses { root4, root6, trie, classes: classifier.classes, signatures: classifier.signatures }
    }
}

fn named_networks(model: &Model, members: &[IpAddr], atoms: &Atoms) -> Vec<Named> {
    let mut named = Vec::new();
    for (atom, what) in (0u32..).zip(atoms.all()) {
        match what {
            Atom::Members => named.extend(members.iter().map(|addr| of_network(IpNet::from(*addr), atom))),
            Atom::Segment(segment) => {
                named.extend(model.segments[*segment].addresses.iter().map(|network| of_network(*network, atom)));
            }
            Atom::Network(network) => named.push(of_network(*network, atom)),
        }
    }
    named
}

fn of_network(network: IpNet, atom: u32) -> Named {
    match network {
        IpNet::V4(net) => {
            Named { v6: false, addr: u128::from(net.network().to_bits()) << 96, len: net.prefix_len(), atom }
        }
        IpNet::V6(net) => Named { v6: true, addr: net.network().to_bits(), len: net.prefix_len(), atom },
    }
}

/// The number of the empty set of atoms.
const NO_ATOMS: u32 = 0;

/// Turns sets of atoms into classes, each distinct set once.
struct Classifier {
    index: AtomIndex,
    /// Distinct sets of atoms; the first is [`NO_ATOMS`].
    sets: Interner,
    class_of_set: Vec<u32>,
    classes: Interner,
    signatures: Vec<Signatures>,
    /// The terms of each role, and the signature in each, of the set at hand.
    roles: Vec<Vec<u32>>,
    signature: Vec<u32>,
}

impl Classifier {
    fn new(index: AtomIndex, roles: usize) -> Classifier {
        let signatures = (0..roles).map(|_| Signatures::new()).collect();
        let mut classifier = Classifier {
            index,
            sets: Interner::default(),
            class_of_set: Vec::new(),
            classes: Interner::default(),
            signatures,
            roles: vec![Vec::new(); roles],
            signature: Vec::new(),
        };
        classifier.set(&[], NO_ATOMS);
        classifier
    }

    /// Distinct networks with their classes, from (network, atom) in order.
    fn nodes(&mut self, named: &[Named]) -> Vec<Node> {
        let mut nodes = Vec::with_capacity(named.len());
        let mut around: Vec<(Node, u32)> = Vec::new();
        let mut atoms = Vec::new();
        for group in named.chunk_by(|one, other| (one.addr, one.len) == (other.addr, other.len)) {
            let mut node = Node { addr: group[0].addr, len: group[0].len, class: 0 };
            while around.last().is_some_and(|(network, _)| !contains(network, &node)) {
                around.pop();
            }
            let outer = around.last().map_or(NO_ATOMS, |(_, set)| *set);
            atoms.clear();
            atoms.extend(self.sets.list(outer));
            atoms.extend(group.iter().map(|named| named.atom));
            atoms.sort_unstable();
            atoms.dedup();
            let set = self.set(&atoms, outer);
            node.class = TableId::Classes.place(self.class_of_set[set as usize]);
            nodes.push(node);
            around.push((node, set));
        }
        nodes
    }

    /// The number of a set of atoms, met inside a network of the set `around`.
    fn set(&mut self, atoms: &[u32], around: u32) -> u32 {
        let set = self.sets.id(atoms);
        if set as usize == self.class_of_set.len() {
            self.index.terms_of(atoms, &mut self.roles);
            let outer = self.class_of_set.get(around as usize).map(|&class| self.classes.list(class));
            let roles = self.signatures.iter_mut().zip(&self.roles).enumerate();
            self.signature.clear();
            self.signature.extend(
                roles.map(|(role, (signatures, terms))| signatures.id(terms, outer.map_or(0, |outer| outer[role]))),
            );
            let class = self.classes.id(&self.signature);
            self.class_of_set.push(class);
        }
        set
    }
}
