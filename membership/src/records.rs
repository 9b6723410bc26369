//! The newest word of every node about itself: a table that is the same on all nodes once they have talked.
//!
//! A record is pushed when it is new, and the rest is repaired: every probe carries a hash of the table, and two nodes
//! whose hashes differ compare stamps and send each other what is newer. So a lost datagram delays a record by one probe.

use std::collections::{BTreeMap, btree_map::Entry};

use identity::NodeId;
use serde::{Deserialize, Serialize};

use crate::{incarnation, member::Meta};

/// Which of two records of a node is newer: a later life, and in one life a later version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Stamp {
    #[serde(deserialize_with = "incarnation::bounded")]
    pub(crate) incarnation: u64,
    pub(crate) version: u64,
}

/// What a node says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) node: NodeId,
    pub(crate) stamp: Stamp,
    /// The node has said that it leaves; true of this incarnation and those before.
    pub(crate) left: bool,
    pub(crate) meta: Meta,
}

/// The stamps of all records of the nodes from `first` to `last`: a node in between that is not listed has none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Summary {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// Whether the receiver should answer with its own stamps, where these are newer.
    pub(crate) answer: bool,
    pub(crate) stamps: Vec<(NodeId, Stamp)>,
}

/// The newest record of each node.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_node: BTreeMap<NodeId, Record>,
    view: u32,
}

/// What became of a record that was heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Merged {
    /// Not newer than what is known.
    Old,
    /// Another version of a life already known.
    Version,
    /// The first word of a node, or of a new life of it.
    Life,
}

impl Records {
    /// A hash of all stamps: the same table gives the same hash on every node.
    pub(crate) fn view(&self) -> u32 {
        self.view
    }

    pub(crate) fn get(&self, node: NodeId) -> Option<&Record> {
        self.by_node.get(&node)
    }

    pub(crate) fn stamp(&self, node: NodeId) -> Option<Stamp> {
        self.get(node).map(|record| record.stamp)
    }

    pub(crate) fn count(&self) -> usize {
        self.by_node.len()
    }

    pub(crate) fn forget(&mut self, node: NodeId) {
        self.by_node.remove(&node);
        self.view = self.hash();
    }

    /// Keeps the newer of the record and what is known.
    pub(crate) fn merge(&mut self, record: Record) -> Merged {
        let merged = match self.by_node.entry(record.node) {
            Entry::Vacant(vacant) => {
                vacant.insert(record);
                Merged::Life
            }
            Entry::Occupied(mut known) => {
                let before = known.get().stamp;
                if record.stamp <= before {
                    return Merged::Old;
                }
                let life = record.stamp.incarnation > before.incarnation;
                known.insert(record);
                if life { Merged::Life } else { Merged::Version }
            }
        };
        self.view = self.hash();
        merged
    }

    /// The stamps of up to `stamps_max` nodes from `first` to `last`; what does not fit narrows the range.
    pub(crate) fn summary(&self, first: u64, last: u64, answer: bool, stamps_max: usize) -> Summary {
        let mut in_range = self.by_node.values().filter(|record| (first..=last).contains(&record.node.get()));
        let stamps: Vec<_> = in_range.by_ref().take(stamps_max).map(|record| (record.node, record.stamp)).collect();
        let last = match (in_range.next(), stamps.last()) {
            (Some(_), Some((node, _))) => node.get(),
            _ => last,
        };
        Summary { first, last, answer, stamps }
    }

    /// The records that the sender of the summary lacks.
    pub(crate) fn newer_than<'a>(&'a self, summary: &Summary) -> impl Iterator<Item = &'a Record> {
        let theirs: BTreeMap<_, _> = summary.stamps.iter().copied().collect();
        let range = summary.first..=summary.last;
        self.by_node
            .values()
            .filter(move |record| range.contains(&record.node.get()) && theirs.get(&record.node) < Some(&record.stamp))
    }

    /// The nth record in the order of nodes, counted around.
    pub(crate) fn nth(&self, n: usize) -> Option<&Record> {
        self.by_node.values().nth(n % self.by_node.len().max(1))
    }

    /// FNV-1a over the stamps; any hash does, since an unlucky one only waits for the next change.
    fn hash(&self) -> u32 {
        const OFFSET: u32 = 0x811c_9dc5;
        const PRIME: u32 = 0x0100_0193;
        let numbers = self.by_node.values().flat_map(|r| [r.node.get(), r.stamp.incarnation, r.stamp.version]);
        numbers.flat_map(u64::to_le_bytes).fold(OFFSET, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(PRIME))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{collection::vec, prelude::*};

    fn record(node: u64, incarnation: u64, version: u64) -> Record {
        let name = format!("{node}/{incarnation}/{version}");
        let meta = Meta { name, ..Meta::default() };
        Record { node: NodeId::new(node).unwrap(), stamp: Stamp { incarnation, version }, left: false, meta }
    }

    fn some_records() -> impl Strategy<Value = Vec<Record>> {
        vec(
            (1u64..6, 0u64..4, 0u64..4).prop_map(|(node, incarnation, version)| record(node, incarnation, version)),
            0..20,
        )
    }

    fn table(records: &[Record]) -> Records {
        let mut table = Records::default();
        for record in records {
            table.merge(record.clone());
        }
        table
    }

    proptest! {
        /// The last version wins by (incarnation, version), in whatever order it arrives, once or twice.
        #[test]
        fn the_order_of_arrival_does_not_matter(records in some_records()) {
            let reversed: Vec<_> = records.iter().rev().chain(&records).cloned().collect();
            let (one, other) = (table(&records), table(&reversed));
            prop_assert_eq!(one.by_node, other.by_node);
            prop_assert_eq!(one.view, other.view);
        }

        /// Comparing and sending what is newer, both ways, makes two tables one.
        #[test]
        fn an_exchange_of_summaries_makes_tables_equal(a in some_records(), b in some_records(), stamps_max in 1usize..8) {
            let (mut a, mut b) = (table(&a), table(&b));
            let mut first = 0;
            loop {
                let of_a = a.summary(first, u64::MAX, true, stamps_max);
                let of_b = b.summary(of_a.first, of_a.last, false, usize::MAX);
                let (to_a, to_b) = (b.newer_than(&of_a).cloned().collect::<Vec<_>>(), a.newer_than(&of_b).cloned().collect::<Vec<_>>());
                to_a.into_iter().for_each(|record| { a.merge(record); });
                to_b.into_iter().for_each(|record| { b.merge(record); });
                match of_a.last.checked_add(1) {
                    Some(next) => first = next,
                    None => break,
                }
            }
            prop_assert_eq!(a.by_node, b.by_node);
            prop_assert_eq!(a.view, b.view);
        }
    }
}
