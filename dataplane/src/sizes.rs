//! How large the kernel's tables are, and where each lies.

use policy::{CompileLimits, Image, TableId};
use ring::digest::{SHA256, digest};

use crate::{abi::Count, btf::Btf, error::PrepareError, object::OBJECT};

/// One more whenever a word of a table, a gate's hash, a reason's number or a tick comes to mean something else while its place and size
/// stay: what is pinned by an older version is then not taken up, but exchanged.
const MEANING: u32 = 4;
/// The same for what is remembered of flows and fragments.
const MEANING_OF_STATE: u32 = 1;

/// The maps in which flows and fragments are remembered.
pub(crate) const STATE: [&str; 4] = ["hr_flows4", "hr_flows6", "hr_fragments", "hr_sync_fragments"];

/// Bytes of one half of the image map beyond which kernels before 6.0 refuse it.
pub const IMAGE_BYTES_OLD_KERNELS_MAX: usize = 4 << 20;

/// Bytes of a value that programs address without a look-up: the verifier follows no further (`BPF_MAX_VAR_OFF`).
const ADDRESSED_BYTES_MAX: usize = 1 << 29;

/// How much the tables hold. Set when the maps are created; a change builds new maps beside the old ones. An image that needs more is
/// refused before anything is touched (G18).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableSizes {
    /// Elements of each table of an image; compile with the same limits. There are two halves of everything, and the counters of
    /// rules take 32 bytes for each processor, the buckets of limits 64.
    pub image: CompileLimits,
    /// Flows of each family that are remembered. One of each take 232 bytes of the kernel's memory.
    pub flows: u32,
    /// Sources that rules with limits of each source tell apart, of all such rules together. Each takes 120 bytes of the kernel's memory.
    pub sources: u32,
    /// Datagrams in fragments that are followed, those of sync flows and all others each. One of each take 256 bytes of the kernel's memory.
    pub fragments: u32,
    /// Keep the chunks of the address trie in a map of their own, which costs some nanoseconds: the one map with everything else then stays
    /// below [`IMAGE_BYTES_OLD_KERNELS_MAX`], as kernels before 6.0 demand.
    pub chunks_apart: bool,
}

/// For how large a policy there is room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ImageSize {
    /// For every policy that compiles. Kernels before 6.0 refuse it.
    Large,
    /// For small nodes, and kernels before 6.0, which allow [`IMAGE_BYTES_OLD_KERNELS_MAX`]: a few MiB in all.
    Small,
}

impl ImageSize {
    fn limits(self) -> CompileLimits {
        match self {
            ImageSize::Large => CompileLimits::default(),
            ImageSize::Small => CompileLimits {
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
                limits_max: 1_024,
            },
        }
    }
}

impl Default for TableSizes {
    fn default() -> TableSizes {
        TableSizes::of(ImageSize::Large)
    }
}

impl TableSizes {
    /// Room for images of this size, and for as much else as is usual.
    pub fn of(image: ImageSize) -> TableSizes {
        TableSizes {
            image: image.limits(),
            flows: 65_536,
            sources: 65_536,
            fragments: 8_192,
            chunks_apart: image == ImageSize::Small,
        }
    }

    /// For tests: little room for anything.
    pub fn small() -> TableSizes {
        TableSizes { flows: 4_096, sources: 4_096, fragments: 1_024, ..TableSizes::of(ImageSize::Small) }
    }

    /// Refuses an image that does not fit.
    pub(crate) fn fits(&self, image: &Image) -> Result<(), PrepareError> {
        let tables = image
            .tables
            .each()
            .map(|(table, _)| (table.name(), image.tables.elements(table), self.image.elements(table)));
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

/// The tables in the order in which they lie in a half.
const ORDER: [TableId; 13] = [
    TableId::Root4,
    TableId::Root6,
    TableId::Ports,
    TableId::Classes,
    TableId::Base,
    TableId::Pairs,
    TableId::Vbase,
    TableId::Verdicts,
    TableId::Limits,
    TableId::Cells,
    TableId::Vcells,
    TableId::Skips,
    TableId::Chunks,
];

/// Where the tables lie.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Placement {
    pub(crate) sizes: TableSizes,
    pub(crate) cpus: u32,
}

impl Placement {
    /// Whether the chunks lie with the other tables.
    pub(crate) fn chunks_inside(&self) -> bool {
        !self.sizes.chunks_apart
    }

    /// First word of a table in a half of its map.
    pub(crate) fn offset(&self, table: TableId) -> usize {
        if table == TableId::Chunks && self.sizes.chunks_apart {
            return 0;
        }
        ORDER.iter().take_while(|before| **before != table).map(|before| self.words(*before)).sum()
    }

    /// Elements for which a table has room: programs cut indices to a power of two.
    pub(crate) fn elements(&self, table: TableId) -> usize {
        match table {
            TableId::Root4 | TableId::Root6 | TableId::Ports => self.sizes.image.elements(table),
            _ => self.sizes.image.elements(table).next_power_of_two(),
        }
    }

    /// Rules for which there is a counter.
    pub(crate) fn rules(&self) -> usize {
        self.sizes.rules().next_power_of_two()
    }

    /// Processors for which there are counters: programs cut their number to a power of two.
    pub(crate) fn cpus(&self) -> usize {
        (self.cpus as usize).next_power_of_two()
    }

    /// Words for which a table has room.
    pub(crate) fn words(&self, table: TableId) -> usize {
        // Whole pairs of words, so that every table begins at a multiple of 8 bytes.
        (self.elements(table) * table.width()).next_multiple_of(2)
    }

    /// Words of one half of the image map.
    pub(crate) fn image_words(&self) -> usize {
        let all: usize = ORDER.iter().map(|table| self.words(*table)).sum();
        if self.sizes.chunks_apart { all - self.words(TableId::Chunks) } else { all }
    }

    /// Words of one half of the map of chunks.
    pub(crate) fn chunk_words(&self) -> usize {
        if self.sizes.chunks_apart { self.words(TableId::Chunks) } else { 0 }
    }

    /// Bytes of the counters of one processor and half.
    pub(crate) fn rules_bytes(&self) -> usize {
        self.rules() * size_of::<Count>()
    }

    /// Whether the counters of all processors and halves are one value. Where chunks lie apart the kernel may not take one so large.
    pub(crate) fn rules_inside(&self) -> bool {
        self.chunks_inside() && 2 * self.cpus() * self.rules_bytes() < ADDRESSED_BYTES_MAX
    }

    /// Bytes and entries of the map of these counters.
    pub(crate) fn rules_shape(&self) -> (usize, u32) {
        if self.rules_inside() {
            return (2 * self.cpus() * self.rules_bytes(), 1);
        }
        (self.rules_bytes(), 2 * self.cpus)
    }

    /// In which element of that map the counters of a processor and half are, and at which byte.
    pub(crate) fn rules_at(&self, cpu: u32, generation: u32) -> (u32, usize) {
        let number = cpu * 2 + (generation & 1);
        if self.rules_inside() { (0, number as usize * self.rules_bytes()) } else { (number, 0) }
    }

    /// The name of the directory of maps: two sets of maps with the same name can be used by the same programs. It changes with the
    /// definitions of the maps, with the layouts of their keys and values, and with the sizes; and not with a comment.
    ///
    /// Behind the dash stands what remembered flows look like: where that is equal they are taken along into other tables.
    pub(crate) fn fingerprint(&self) -> String {
        let btf = Btf::of(OBJECT);
        let layouts = format!("{MEANING} {} {}", btf.maps(&btf.map_names()), btf.layout("hr_event"));
        let all = format!("{layouts} {:?} {} {ORDER:?}", self.sizes, self.cpus);
        let state = format!("{MEANING_OF_STATE} {}", btf.maps(&STATE));
        format!("{}-{}", short_hash(&all, 6), short_hash(&state, 4))
    }
}

/// The first bytes of a hash, as text.
fn short_hash(text: &str, bytes: usize) -> String {
    digest(&SHA256, text.as_bytes()).as_ref()[..bytes].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use policy::image::TABLES;

    #[test]
    fn tables_of_a_half_do_not_overlap() {
        let placement = Placement { sizes: TableSizes::default(), cpus: 4 };
        let mut spans: Vec<(usize, usize)> =
            ORDER.iter().map(|table| (placement.offset(*table), placement.words(*table))).collect();
        spans.sort_unstable();
        for pair in spans.windows(2) {
            assert_eq!(pair[0].0 + pair[0].1, pair[1].0);
        }
        assert_eq!(ORDER.len(), TABLES.len());
        assert_eq!(placement.offset(TableId::Root4), 0, "programs know where it is");
    }

    /// What the manual says in its `[dataplane.tables]`.
    #[test]
    fn the_memory_that_tables_take_is_what_the_manual_says() {
        let bytes = |image| {
            let placement = Placement { sizes: TableSizes::of(image), cpus: 1 };
            let half = (placement.image_words() + placement.chunk_words()) * size_of::<u32>();
            let buckets = placement.elements(TableId::Limits) * size_of::<crate::abi::Buckets>();
            (2 * half + buckets, 2 * placement.rules_bytes())
        };
        assert_eq!(bytes(ImageSize::Large), (172_230_656, 8 << 20));
        assert_eq!(bytes(ImageSize::Small), (9_635_840, 256 << 10));
    }

    #[test]
    fn small_sizes_fit_old_kernels_and_the_name_follows_the_sizes() {
        let small = Placement { sizes: TableSizes::small(), cpus: 1 };
        assert!(small.image_words() * 4 <= IMAGE_BYTES_OLD_KERNELS_MAX);
        let configured = Placement { sizes: TableSizes::of(ImageSize::Small), cpus: 1 };
        assert_eq!(configured.image_words(), small.image_words(), "nothing but the image is in this value");
        let other = Placement { sizes: TableSizes { flows: 4_095, ..TableSizes::small() }, cpus: 1 };
        assert_ne!(small.fingerprint(), other.fingerprint());
        assert_eq!(small.fingerprint(), small.fingerprint());
    }
}
