//! Lays nested networks out as the multi-bit trie of the image: 16 bits, then a byte at a time, with skips over what has no branches.

use crate::image::{CHUNK_ENTRIES, ENTRY_BRANCH, ENTRY_INDEX, ENTRY_SKIP, ROOT_ENTRIES, root4_index, words_of};

use super::intern::number;

/// Children of a node that are told apart by a chain of skips instead of a chunk, at most. [`STEPS_V4_MAX`](crate::image::STEPS_V4_MAX)
/// and [`STEPS_V6_MAX`](crate::image::STEPS_V6_MAX) follow from it.
const SKIP_CHAIN_MAX: usize = 2;

/// Bytes of an address that the root takes.
const ROOT_BYTES: u8 = 2;

/// A network and the class of its addresses, but for those in networks inside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Node {
    /// First address, its first bit the highest; IPv4 in the high 32 bits.
    pub(super) addr: u128,
    /// Prefix length.
    pub(super) len: u8,
    /// The place of the address class.
    pub(super) class: u32,
}

impl Node {
    fn byte(&self, depth: u8) -> usize {
        (self.addr >> (120 - u32::from(depth) * 8)) as usize & 0xff
    }
}

/// Chunks and skips of both families on their way into the image.
#[derive(Debug)]
pub(super) struct Trie {
    pub(super) chunks: Vec<u32>,
    pub(super) skips: Vec<u32>,
    /// Chunks that would be needed; those beyond `chunks_max` are counted and not stored.
    pub(super) chunks_needed: usize,
    chunks_max: usize,
}

impl Trie {
    pub(super) fn new(chunks_max: usize) -> Trie {
        Trie {
            chunks: Vec::new(),
            skips: Vec::new(),
            chunks_needed: 0,
            chunks_max: chunks_max.min(ENTRY_INDEX as usize),
        }
    }

    /// The root of IPv4. `nodes`: distinct networks by address, then length; `outside`: the class of what is in none.
    pub(super) fn root4(&mut self, nodes: &[Node], outside: u32) -> Vec<u32> {
        let ordered = self.root6(nodes, outside);
        let mut root = vec![outside; ROOT_ENTRIES];
        for (first_bits, entry) in (0..).zip(ordered) {
            root[root4_index(first_bits << 16)] = entry;
        }
        root
    }

    /// That of IPv6, which is in the order of the addresses.
    pub(super) fn root6(&mut self, nodes: &[Node], outside: u32) -> Vec<u32> {
        let nodes = without_redundant(nodes, outside);
        let mut root = vec![outside; ROOT_ENTRIES];
        let slot = |node: &Node| (node.addr >> 112) as usize;
        for node in nodes.iter().filter(|node| node.len < 16) {
            root[slot(node)..slot(node) + (1 << (16 - node.len))].fill(node.class);
        }
        for group in nodes.chunk_by(|one, other| slot(one) == slot(other)) {
            root[slot(&group[0])] = self.at(longer(group, 16), ROOT_BYTES, root[slot(&group[0])]);
        }
        root
    }

    /// The entry for nodes that agree in the first `depth` bytes and are at least that long; `class` is that of what is around them.
    fn at(&mut self, nodes: &[Node], depth: u8, class: u32) -> u32 {
        match nodes {
            [] => class,
            [first, rest @ ..] if first.len == depth * 8 => self.branch(rest, depth, first.class),
            _ => self.branch(nodes, depth, class),
        }
    }

    /// The same for nodes that are longer than `depth` bytes.
    fn branch(&mut self, nodes: &[Node], depth: u8, class: u32) -> u32 {
        if nodes.is_empty() {
            return class;
        }
        if common_bytes(nodes) > depth {
            return self.skip(nodes, class, class);
        }
        let groups = nodes.chunk_by(|one, other| one.byte(depth) == other.byte(depth));
        let few = groups.clone().nth(SKIP_CHAIN_MAX).is_none();
        if few && nodes.iter().all(|node| node.len >= depth * 8 + 8) {
            return groups.rev().fold(class, |miss, group| self.skip(group, class, miss));
        }
        self.chunk(nodes, depth, class)
    }

    /// A skip to the depth that all nodes have in common.
    fn skip(&mut self, nodes: &[Node], class: u32, miss: u32) -> u32 {
        let depth = common_bytes(nodes);
        let bits = u32::from(depth) * 8;
        let addr = nodes[0].addr & (u128::MAX << (128 - bits));
        let index = self.skips.len() / 8;
        self.skips.extend(words_of(addr));
        self.skips.extend([bits, 0, miss, 0]);
        self.skips[index * 8 + 5] = self.at(nodes, depth, class);
        ENTRY_BRANCH | ENTRY_SKIP | number(index)
    }

    fn chunk(&mut self, nodes: &[Node], depth: u8, class: u32) -> u32 {
        let index = self.chunks_needed;
        self.chunks_needed += 1;
        let mut entries = [class; CHUNK_ENTRIES];
        let stored = index < self.chunks_max;
        if stored {
            self.chunks.extend(entries);
        }
        let longest = depth * 8 + 8;
        for node in nodes.iter().filter(|node| node.len < longest) {
            let first = node.byte(depth);
            entries[first..first + (1 << (longest - node.len))].fill(node.class);
        }
        for group in nodes.chunk_by(|one, other| one.byte(depth) == other.byte(depth)) {
            let slot = group[0].byte(depth);
            entries[slot] = self.at(longer(group, longest), depth + 1, entries[slot]);
        }
        if stored {
            self.chunks[index * CHUNK_ENTRIES..(index + 1) * CHUNK_ENTRIES].copy_from_slice(&entries);
        }
        ENTRY_BRANCH | number(index & ENTRY_INDEX as usize)
    }
}

/// Those of at least `len` bits, of nodes that agree in so many: the shorter ones come first, as they contain them.
fn longer(nodes: &[Node], len: u8) -> &[Node] {
    &nodes[nodes.partition_point(|node| node.len < len)..]
}

/// Whole bytes that the nodes agree in and all have.
fn common_bytes(nodes: &[Node]) -> u8 {
    let (first, last) = (nodes[0].addr, nodes[nodes.len() - 1].addr);
    let agree = (first ^ last).leading_zeros();
    let shortest = nodes.iter().map(|node| u32::from(node.len)).min().unwrap_or(0);
    u8::try_from(agree.min(shortest) / 8).expect("an address has 16 bytes")
}

/// Leaves out networks of the same class as what is around them.
fn without_redundant(nodes: &[Node], outside: u32) -> Vec<Node> {
    let mut around: Vec<Node> = Vec::new();
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes {
        while around.last().is_some_and(|network| !contains(network, node)) {
            around.pop();
        }
        if around.last().map_or(outside, |network| network.class) != node.class {
            kept.push(*node);
        }
        around.push(*node);
    }
    kept
}

/// Whether `inner` lies in `outer`.
pub(super) fn contains(outer: &Node, inner: &Node) -> bool {
    outer.len <= inner.len && (outer.len == 0 || (outer.addr ^ inner.addr) >> (128 - u32::from(outer.len)) == 0)
}

#[cfg(test)]
mod tests;
