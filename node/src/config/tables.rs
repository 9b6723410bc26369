//! `[dataplane.tables]`: how much the tables of the data path hold.

use std::ops::{Range, RangeInclusive};

use dataplane::{ImageSize, TableSizes};
use serde::Deserialize;

use super::bounded::{Bounded, Written, or};

/// How many flows of each family may be remembered, at 232 bytes of the kernel's memory for one of each.
pub const FLOWS: RangeInclusive<u32> = 1_024..=4_194_304;
/// How many sources the rules with limits of each source may tell apart, at 120 bytes each.
pub const SOURCES: RangeInclusive<u32> = 1_024..=4_194_304;
/// How many datagrams in fragments may be followed, at 256 bytes each: there is a table of them for sync flows and one for all others.
pub const FRAGMENTS: RangeInclusive<u32> = 1_024..=1_048_576;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct RawTables {
    #[serde(default)]
    image: RawImage,
    flows: Written,
    sources: Written,
    fragments: Written,
}

#[derive(Deserialize, Clone, Copy, Default)]
#[serde(rename_all = "lowercase")]
enum RawImage {
    #[default]
    Large,
    Small,
}

impl RawTables {
    /// What is wrong: where, and what to write instead.
    pub(super) fn problems(&self) -> impl Iterator<Item = (Range<usize>, String)> {
        let all = [
            Bounded { key: "flows", unit: "flows of each family", range: FLOWS, written: &self.flows },
            Bounded { key: "sources", unit: "sources", range: SOURCES, written: &self.sources },
            Bounded { key: "fragments", unit: "datagrams in fragments", range: FRAGMENTS, written: &self.fragments },
        ];
        all.into_iter().filter_map(Bounded::problem)
    }

    /// What was written, and the defaults for the rest.
    pub(super) fn sizes(&self) -> TableSizes {
        let usual = TableSizes::of(match self.image {
            RawImage::Large => ImageSize::Large,
            RawImage::Small => ImageSize::Small,
        });
        TableSizes {
            flows: or(&self.flows, usual.flows),
            sources: or(&self.sources, usual.sources),
            fragments: or(&self.fragments, usual.fragments),
            ..usual
        }
    }
}
