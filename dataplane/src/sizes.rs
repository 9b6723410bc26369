//! How large the kernel's tables are, and where each lies.

use policy::{CompileLimits, Image, TableId};
use ring::digest::{Context, SHA256};

use crate::{abi::Layout, error::PrepareError};

/// Bytes of one half of the image map beyond which kernels before 6.0 refuse it.
pub const IMAGE_BYTES_OLD_KERNELS_MAX: usize = 4 << 20;

/// How much the tables hold. Set when the maps are created; a change builds new maps beside the old ones. An image that needs more is
/// refused before anything is touched (G18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSizes {
    /// Elements of each table of an image; compile with the same limits. There are two halves of everything, and the counters of
    /// rules take 32 bytes for each processor.
    pub image: CompileLimits,
    /// Flows of each family that are remembered.
    pub flows: u32,
    /// Datagrams in fragments that are followed.
    pub fragments: u32,
}

impl Default for TableSizes {
    fn default() -> TableSizes {
        TableSizes { image: CompileLimits::default(), flows: 65_536, fragments: 8_192 }
    }
}

impl TableSizes {
    /// For tests, small nodes, and kernels before 6.0, which allow [`IMAGE_BYTES_OLD_KERNELS_MAX`]: a few MiB in all.
    pub fn small() -> TableSizes {
        let image = CompileLimits {
            chunks_max: 1_024,
            skips_max: 4_096,
            classes_max: 8_192,
            base_max: 65_536,
            cells_max: 32_768,
            pairs_max: 8_192,
            vbase_max: 32_768,
            vcells_max: 32_768,
            verdicts_max: 8_192,
            rules_max: 8_192,
        };
        TableSizes { image, flows: 4_096, fragments: 1_024 }
    }

    /// Refuses an image that does not fit.
    pub(crate) fn fits(&self, image: &Image) -> Result<(), PrepareError> {
        let tables = image.tables.each().map(|(table, _)| {
            (table.name(), image.tables.elements(table), self.image.elements(table))
        });
        let mut all = tables.chain([("rules", image.rules.len(), self.rules())]);
        match all.find(|(_, needed, available)| needed > available) {
            Some((table, needed, available)) => Err(PrepareError::TooLarge { table, needed, available }),
            None => Ok(()),
        }
    }

    /// Rules that have a counter.
    pub(crate) fn rules(&self) -> usize {
        self.image.rules_max
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
        (self.sizes.image.elements(table) * table.width()).next_multiple_of(2)
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
        let len = |table: TableId| word(self.sizes.image.elements(table) * table.width());
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
            chunks: word(self.sizes.image.chunks_max),
            rules: word(self.sizes.rules()),
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
        let other = Placement { sizes: TableSizes { flows: 4_095, ..TableSizes::small() }, cpus: 1 };
        assert_ne!(small.fingerprint(), other.fingerprint());
        assert_eq!(small.fingerprint(), small.fingerprint());
    }
}
