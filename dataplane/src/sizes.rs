//! How large the kernel's tables are, and where each lies.

use policy::image::{PORT_ENTRIES, ROOT_ENTRIES, TableId, Tables};
use ring::digest::{Context, SHA256};

use crate::abi::Layout;

/// Bytes of one half of the image map beyond which kernels before 6.0 refuse it.
pub const IMAGE_BYTES_OLD_KERNELS_MAX: usize = 4 << 20;

/// Elements of each table in one half, and of the tables for state. Set when the maps are created; a change builds new maps beside
/// the old ones. An image that needs more is refused before anything is touched (G18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSizes {
    /// Chunks of 256 trie entries, 1 KiB each.
    pub chunks: u32,
    /// Path-compressed steps of the trie, 32 bytes each.
    pub skips: u32,
    /// Address classes, 32 bytes each.
    pub classes: u32,
    /// Words of the pair table.
    pub base: u32,
    /// Exceptions to it, 8 bytes each.
    pub cells: u32,
    /// Pairs, 8 bytes each.
    pub pairs: u32,
    /// Words of the verdict table.
    pub vbase: u32,
    /// Exceptions to it, 8 bytes each.
    pub vcells: u32,
    /// Verdicts, 16 bytes each.
    pub verdicts: u32,
    /// Rules with a counter: 32 bytes each for every processor.
    pub rules: u32,
    /// Remembered flows of each family.
    pub flows: u32,
    /// Datagrams in fragments that are followed.
    pub fragments: u32,
}

impl Default for TableSizes {
    /// About 60 MiB with two processors: enough for 100,000 prefixes and tens of thousands of rules.
    fn default() -> TableSizes {
        TableSizes {
            chunks: 16_384,
            skips: 65_536,
            classes: 65_536,
            base: 524_288,
            cells: 262_144,
            pairs: 131_072,
            vbase: 262_144,
            vcells: 262_144,
            verdicts: 65_536,
            rules: 65_536,
            flows: 65_536,
            fragments: 8_192,
        }
    }
}

impl TableSizes {
    /// For tests and small nodes: 4 MiB in all, and the image fits kernels before 6.0.
    pub fn small() -> TableSizes {
        TableSizes {
            chunks: 512,
            skips: 2_048,
            classes: 2_048,
            base: 16_384,
            cells: 8_192,
            pairs: 4_096,
            vbase: 8_192,
            vcells: 8_192,
            verdicts: 2_048,
            rules: 2_048,
            flows: 4_096,
            fragments: 1_024,
        }
    }

    /// Elements of a table in one half.
    pub fn elements(&self, table: TableId) -> usize {
        match table {
            TableId::Root4 | TableId::Root6 => ROOT_ENTRIES,
            TableId::Ports => PORT_ENTRIES,
            TableId::Chunks => self.chunks as usize,
            TableId::Skips => self.skips as usize,
            TableId::Classes => self.classes as usize,
            TableId::Base => self.base as usize,
            TableId::Cells => self.cells as usize,
            TableId::Pairs => self.pairs as usize,
            TableId::Vbase => self.vbase as usize,
            TableId::Vcells => self.vcells as usize,
            TableId::Verdicts => self.verdicts as usize,
        }
    }

    /// The first table of an image that does not fit: (table, elements needed, elements there are).
    pub(crate) fn misfit(&self, tables: &Tables) -> Option<(TableId, usize, usize)> {
        tables.each().find_map(|(table, _)| {
            let (needed, available) = (tables.elements(table), self.elements(table));
            (needed > available).then_some((table, needed, available))
        })
    }
}

/// The tables of the image map in the order in which they lie in a half. Chunks have a map of their own.
const IN_IMAGE: [TableId; 11] = [
    TableId::Root4,
    TableId::Root6,
    TableId::Ports,
    TableId::Classes,
    TableId::Base,
    TableId::Pairs,
    TableId::Vbase,
    TableId::Verdicts,
    TableId::Cells,
    TableId::Vcells,
    TableId::Skips,
];

/// Where the tables lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) sizes: TableSizes,
    pub(crate) cpus: u32,
}

impl Placement {
    /// First word of a table in a half of its map.
    pub(crate) fn offset(&self, table: TableId) -> usize {
        IN_IMAGE.iter().take_while(|before| **before != table).map(|before| self.words(*before)).sum::<usize>()
            * usize::from(table != TableId::Chunks)
    }

    /// Words that a table may have.
    pub(crate) fn words(&self, table: TableId) -> usize {
        // Whole pairs of words, so that every table begins at a multiple of 8 bytes.
        (self.sizes.elements(table) * table.width()).next_multiple_of(2)
    }

    /// Words of one half of the image map.
    pub(crate) fn image_words(&self) -> usize {
        IN_IMAGE.iter().map(|table| self.words(*table)).sum()
    }

    /// Words of one half of the chunk map.
    pub(crate) fn chunk_words(&self) -> usize {
        self.words(TableId::Chunks)
    }

    /// The placement as programs know it.
    pub(crate) fn layout(&self) -> Layout {
        let at = |table| word(self.offset(table));
        let len = |table: TableId| word(self.sizes.elements(table) * table.width());
        Layout {
            root4: at(TableId::Root4),
            root6: at(TableId::Root6),
            skips: at(TableId::Skips),
            classes: at(TableId::Classes),
            base: at(TableId::Base),
            cells: at(TableId::Cells),
            ports: at(TableId::Ports),
            pairs: at(TableId::Pairs),
            vbase: at(TableId::Vbase),
            vcells: at(TableId::Vcells),
            verdicts: at(TableId::Verdicts),
            skips_len: len(TableId::Skips),
            classes_len: len(TableId::Classes),
            base_len: len(TableId::Base),
            cells_len: len(TableId::Cells),
            ports_len: len(TableId::Ports),
            pairs_len: len(TableId::Pairs),
            vbase_len: len(TableId::Vbase),
            vcells_len: len(TableId::Vcells),
            verdicts_len: len(TableId::Verdicts),
            chunks: self.sizes.chunks,
            rules: self.sizes.rules,
            cpus: self.cpus,
        }
    }

    /// The name of the directory of maps: two sets of maps with the same name can be used by the same programs. It changes with the
    /// structs and maps of the C headers and with the sizes.
    pub(crate) fn fingerprint(&self) -> String {
        let mut context = Context::new(&SHA256);
        for source in [include_str!("../bpf/structs.h"), include_str!("../bpf/maps.h"), include_str!("../bpf/consts.h")] {
            context.update(source.as_bytes());
        }
        context.update(format!("{:?} {:?}", self.sizes, self.layout()).as_bytes());
        context.finish().as_ref()[..6].iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

fn word(value: usize) -> u32 {
    u32::try_from(value).expect("tables are far below 16 GiB")
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::image::TABLES;

    #[test]
    fn tables_of_a_half_do_not_overlap() {
        let placement = Placement { sizes: TableSizes::default(), cpus: 4 };
        let mut spans: Vec<(usize, usize)> =
            IN_IMAGE.iter().map(|table| (placement.offset(*table), placement.words(*table))).collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
        }
        assert_eq!(IN_IMAGE.len() + 1, TABLES.len());
        assert_eq!(placement.offset(TableId::Chunks), 0);
    }

    #[test]
    fn small_sizes_fit_old_kernels_and_the_name_follows_the_sizes() {
        let small = Placement { sizes: TableSizes::small(), cpus: 1 };
        assert!(small.image_words() * 4 <= IMAGE_BYTES_OLD_KERNELS_MAX);
        let other = Placement { sizes: TableSizes { rules: 4_096, ..TableSizes::small() }, cpus: 1 };
        assert_ne!(small.fingerprint(), other.fingerprint());
        assert_eq!(small.fingerprint(), small.fingerprint());
    }
}
