//! The tables themselves: names, element widths, and a view of their words in one fixed order.

use super::{
    CLASS_SIDE_WORDS, CLASS_WORDS, LIMIT_WORDS, NONE, PORT_ENTRIES, ROOT_ENTRIES, RULE_DEFAULT, VERDICT_DEFAULT,
    VERDICT_ONLY,
};

/// A table of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TableId {
    /// Trie entries by the first 16 bits of an IPv4 address.
    Root4,
    /// Trie entries by the first 16 bits of an IPv6 address.
    Root6,
    /// Trie entries by the next byte, 256 to a chunk.
    Chunks,
    /// Path-compressed steps of the trie.
    Skips,
    /// What an address class is in each direction, as subject and as peer.
    Classes,
    /// Pairs by subject row and peer group.
    Base,
    /// Pairs by subject row and peer column, where they differ from the base.
    Cells,
    /// Port class and port group by protocol and port.
    Ports,
    /// Where a pair's verdicts are.
    Pairs,
    /// Verdicts by pair and port group.
    Vbase,
    /// Verdicts by pair and port class, where they differ from the base.
    Vcells,
    /// Flags, rule, limits and rule of the trial.
    Verdicts,
    /// The buckets of rules with limits.
    Limits,
}

/// Every table, in the order in which they are digested.
pub const TABLES: [TableId; 13] = [
    TableId::Root4,
    TableId::Root6,
    TableId::Chunks,
    TableId::Skips,
    TableId::Classes,
    TableId::Base,
    TableId::Cells,
    TableId::Ports,
    TableId::Pairs,
    TableId::Vbase,
    TableId::Vcells,
    TableId::Verdicts,
    TableId::Limits,
];

impl TableId {
    /// The name, as it is digested and as the kernel map is called after its prefix.
    pub const fn name(self) -> &'static str {
        match self {
            TableId::Root4 => "root4",
            TableId::Root6 => "root6",
            TableId::Chunks => "chunks",
            TableId::Skips => "skips",
            TableId::Classes => "classes",
            TableId::Base => "base",
            TableId::Cells => "cells",
            TableId::Ports => "ports",
            TableId::Pairs => "pairs",
            TableId::Vbase => "vbase",
            TableId::Vcells => "vcells",
            TableId::Verdicts => "verdicts",
            TableId::Limits => "limits",
        }
    }

    /// The place of an element, in bytes.
    ///
    /// # Panics
    /// If there is no room in 32 bits for it.
    pub(crate) fn place(self, index: u32) -> u32 {
        let bytes = self.width() * size_of::<u32>();
        u32::try_from(index as usize * bytes).expect("a table is below 4 GiB")
    }

    /// 32-bit words in one element.
    pub const fn width(self) -> usize {
        match self {
            TableId::Root4 | TableId::Root6 | TableId::Base | TableId::Ports | TableId::Vbase => 1,
            TableId::Cells | TableId::Vcells => 2,
            TableId::Pairs | TableId::Verdicts => 4,
            TableId::Skips => 8,
            TableId::Classes => CLASS_WORDS,
            TableId::Limits => LIMIT_WORDS,
            TableId::Chunks => 256,
        }
    }
}

/// Where the entry of an IPv4 address, host order, is in [`Tables::root4`]: by the first two octets as a little-endian processor reads
/// them out of a packet, so that a packet pays for no turning round.
pub const fn root4_index(addr: u32) -> usize {
    ((addr >> 16) as u16).swap_bytes() as usize
}

/// The words of every table, host order. Each element is [`TableId::width`] words. The *place* of an element is where it begins in its
/// table, in bytes, so that a packet pays for no multiplication.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tables {
    /// 65,536 trie entries, at [`root4_index`]. An entry is a leaf (the place of the address class), or [`super::ENTRY_BRANCH`] with a
    /// chunk index, or both branch bits with a skip index.
    pub root4: Vec<u32>,
    /// 65,536 trie entries.
    pub root6: Vec<u32>,
    /// Chunks of 256 trie entries.
    pub chunks: Vec<u32>,
    /// `{addr[4], bits, hit, miss, 0}`: if the first `bits` bits of the address are those of `addr` go on with the entry `hit` at
    /// depth `bits / 8`, otherwise with the entry `miss` at the same depth. `bits` is a multiple of 8, more than the depth.
    /// `addr` is in words read big-endian; for IPv4 only the first is used. Bits beyond `bits` are zero.
    pub skips: Vec<u32>,
    /// `{row, cells, col, group}` for ingress layer 0, ingress layer 1, egress layer 0, egress layer 1. As the subject of a direction
    /// (ingress: the destination) an address is its row and cells, as the peer its column and group. Row [`NONE`]: no policy of the
    /// layer selects it; not in the last layer, which always decides. Row with [`super::VERDICT_ONLY`]: the place of the verdict, for every
    /// peer and port. Cells [`NONE`]: no exceptions.
    pub classes: Vec<u32>,
    /// The place of the pair at subject row plus peer group; with [`super::VERDICT_ONLY`] that of the verdict, for every port.
    pub base: Vec<u32>,
    /// `{owner, pair}` at subject cells plus peer column, the pair as in `base`; the owner is the subject's cells.
    pub cells: Vec<u32>,
    /// Port class in the low 16 bits, port group in the high ones, [`PORT_ENTRIES`] of them: the blocks of
    /// [`super::PORT_BLOCKS`], then by protocol number.
    pub ports: Vec<u32>,
    /// `{cells, shared, base, 0}`: exceptions of the pair, exceptions that it shares with others, and what else holds; the first two may
    /// be [`NONE`].
    pub pairs: Vec<u32>,
    /// The place of the verdict at the pair's base plus port group.
    pub vbase: Vec<u32>,
    /// `{owner, place of the verdict}` at the pair's cells (then shared) plus port class; the owner is that cells (or shared).
    pub vcells: Vec<u32>,
    /// `{flags, rule, limit, trial}`: flags as `FLAG_*`; the rule that decides, an index into the rules; the index of its limits in the low
    /// 16 bits and of those of the trial's rule in the high ones, [`super::LIMIT_NONE`] where there are none (so [`NONE`] is neither); the
    /// rule that would decide if policies in observe mode were enforced (the same where there are none).
    pub verdicts: Vec<u32>,
    /// `{id_low, id_high, packets, new connections, packets of a source, new connections of a source, 0…}`, one element for each rule with
    /// limits, in the order of the rules. Each of the four is `interval_ns, burst`; an interval of 0 is no such limit. See
    /// [`super::LimitEntry`].
    pub limits: Vec<u32>,
}

impl Tables {
    /// Tables with one address class that nothing selects, and the default action given by `flags`.
    pub(crate) fn uniform(flags: u32) -> Tables {
        Tables {
            root4: vec![0; ROOT_ENTRIES],
            root6: vec![0; ROOT_ENTRIES],
            classes: [NONE, NONE, 0, 0, VERDICT_ONLY | VERDICT_DEFAULT, NONE, 0, 0]
                .repeat(CLASS_WORDS / CLASS_SIDE_WORDS),
            ports: vec![0; PORT_ENTRIES],
            verdicts: vec![flags, RULE_DEFAULT, NONE, RULE_DEFAULT],
            ..Tables::default()
        }
    }

    /// The words of one table.
    pub fn words(&self, table: TableId) -> &[u32] {
        match table {
            TableId::Root4 => &self.root4,
            TableId::Root6 => &self.root6,
            TableId::Chunks => &self.chunks,
            TableId::Skips => &self.skips,
            TableId::Classes => &self.classes,
            TableId::Base => &self.base,
            TableId::Cells => &self.cells,
            TableId::Ports => &self.ports,
            TableId::Pairs => &self.pairs,
            TableId::Vbase => &self.vbase,
            TableId::Vcells => &self.vcells,
            TableId::Verdicts => &self.verdicts,
            TableId::Limits => &self.limits,
        }
    }

    /// Elements that one table holds.
    pub fn elements(&self, table: TableId) -> usize {
        self.words(table).len() / table.width()
    }

    /// Every table with its words, in the order of [`TABLES`].
    pub fn each(&self) -> impl Iterator<Item = (TableId, &[u32])> {
        TABLES.into_iter().map(|table| (table, self.words(table)))
    }

    /// Bytes of all tables together.
    pub fn bytes(&self) -> usize {
        self.each().map(|(_, words)| size_of_val(words)).sum()
    }
}
