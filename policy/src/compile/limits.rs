//! How much an image may hold, known before it is loaded: nothing overflows at run time (G18).

use serde::{Deserialize, Serialize};

use crate::image::{CLASS_WORDS, LIMIT_NONE, LIMIT_WORDS, PORT_ENTRIES, ROOT_ENTRIES, TableId, Tables};

/// Elements of each table, at most. The kernel's maps are sized by the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CompileLimits {
    /// Chunks of 256 trie entries, 1,024 bytes each.
    pub chunks_max: usize,
    /// Path-compressed trie steps, 32 bytes each.
    pub skips_max: usize,
    /// Address classes, 64 bytes each.
    pub classes_max: usize,
    /// Pairs by subject row and peer group, 4 bytes each.
    pub base_max: usize,
    /// Exceptions to those, 8 bytes each.
    pub cells_max: usize,
    /// Distinct pairs, 16 bytes each.
    pub pairs_max: usize,
    /// Verdicts by pair and port group, 4 bytes each.
    pub vbase_max: usize,
    /// Exceptions to those, 8 bytes each.
    pub vcells_max: usize,
    /// Distinct verdicts, 16 bytes each.
    pub verdicts_max: usize,
    /// Rules, written or implied; each has a counter on each processor.
    pub rules_max: usize,
    /// Rules with rate limits, 64 bytes each; above 65,535 there is room for 65,535.
    pub limits_max: usize,
}

impl Default for CompileLimits {
    fn default() -> CompileLimits {
        CompileLimits {
            chunks_max: 24_576,
            skips_max: 262_144,
            classes_max: 131_072,
            base_max: 1 << 20,
            cells_max: 1 << 20,
            pairs_max: 262_144,
            vbase_max: 1 << 20,
            vcells_max: 1 << 20,
            verdicts_max: 262_144,
            rules_max: 262_144,
            limits_max: 4_096,
        }
    }
}

/// Why a policy has no image: it needs more than a table holds. Nothing was loaded; what is enforced stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the compiled policy needs at least {needed} {what}, and {available} is the limit (`{limit}`)")]
pub struct CompileError {
    /// The limit by name.
    pub limit: &'static str,
    /// What it counts.
    pub what: &'static str,
    /// How many the policy needs; at least, if counting them all would take too long.
    pub needed: usize,
    /// How many there may be.
    pub available: usize,
    /// How to need fewer.
    pub advice: &'static str,
}

impl CompileError {
    /// More distinct port ranges than a 16-bit class can tell apart.
    pub(super) fn port_classes(needed: usize, available: usize) -> CompileError {
        let (what, advice) = ("classes of ports", "name fewer distinct ports and ranges");
        CompileError { limit: "port_classes_max", what, needed, available, advice }
    }

    /// Ranges of ports of which so many lie in so many others that telling them apart would take too much time and memory.
    pub(super) fn port_overlaps(needed: usize, available: usize) -> CompileError {
        let (what, advice) = ("pieces of port ranges", "name fewer ranges that overlap, or the same ones");
        CompileError { limit: "port_overlaps_max", what, needed, available, advice }
    }

    /// Whether what is full grows with addresses, whoever names them, more than with rules.
    pub(super) fn is_of_addresses(&self) -> bool {
        [TableId::Chunks, TableId::Skips, TableId::Classes].into_iter().any(|table| words(table).0 == self.limit)
    }
}

impl CompileLimits {
    /// Bytes of all tables of one image at these limits.
    pub fn bytes(&self) -> usize {
        let words = self.chunks_max * 256
            + self.skips_max * 8
            + self.classes_max * CLASS_WORDS
            + self.base_max
            + self.cells_max * 2;
        let verdict_words = self.pairs_max * 4 + self.vbase_max + self.vcells_max * 2 + self.verdicts_max * 4;
        let limit_words = self.elements(TableId::Limits) * LIMIT_WORDS;
        (ROOT_ENTRIES * 2 + PORT_ENTRIES + words + verdict_words + limit_words) * size_of::<u32>()
    }

    /// Elements that a table may hold.
    pub fn elements(&self, table: TableId) -> usize {
        match table {
            TableId::Root4 | TableId::Root6 => ROOT_ENTRIES,
            TableId::Chunks => self.chunks_max,
            TableId::Skips => self.skips_max,
            TableId::Classes => self.classes_max,
            TableId::Base => self.base_max,
            TableId::Cells => self.cells_max,
            TableId::Ports => PORT_ENTRIES,
            TableId::Pairs => self.pairs_max,
            TableId::Vbase => self.vbase_max,
            TableId::Vcells => self.vcells_max,
            TableId::Verdicts => self.verdicts_max,
            // A verdict has 16 bits for the index of a limit.
            TableId::Limits => self.limits_max.min(LIMIT_NONE as usize),
        }
    }

    pub(super) fn check(&self, table: TableId, needed: usize) -> Result<(), CompileError> {
        let available = self.elements(table);
        if needed <= available {
            return Ok(());
        }
        let (limit, what, advice) = words(table);
        Err(CompileError { limit, what, needed, available, advice })
    }

    pub(super) fn check_rules(&self, needed: usize) -> Result<(), CompileError> {
        if needed <= self.rules_max {
            return Ok(());
        }
        let (limit, what, advice) =
            ("rules_max", "rules (written and implied)", "merge rules that differ only in peers or services");
        Err(CompileError { limit, what, needed, available: self.rules_max, advice })
    }

    pub(super) fn check_tables(&self, tables: &Tables) -> Result<(), CompileError> {
        tables.each().try_for_each(|(table, _)| self.check(table, tables.elements(table)))
    }
}

/// Name, meaning and advice for the limit of a table.
fn words(table: TableId) -> (&'static str, &'static str, &'static str) {
    match table {
        TableId::Root4 | TableId::Root6 | TableId::Ports => {
            ("(fixed)", "entries of a table of fixed size", "report this as a bug")
        }
        TableId::Chunks => {
            ("chunks_max", "chunks of 256 address trie entries", "name fewer networks, or more that lie side by side")
        }
        TableId::Skips => ("skips_max", "compressed steps of the address trie", "name fewer networks"),
        TableId::Classes => ("classes_max", "address classes", "put addresses that are treated alike in one segment"),
        TableId::Base => {
            ("base_max", "pairs of subject and peer group", "let rules share peers, and policies share segments")
        }
        TableId::Cells => {
            ("cells_max", "exceptions by subject and peer", "let rules share peers, and policies share segments")
        }
        TableId::Pairs => {
            ("pairs_max", "distinct pairs of subject and peer", "let rules share peers, and policies share segments")
        }
        TableId::Vbase => ("vbase_max", "verdicts by pair and port group", "name fewer overlapping port ranges"),
        TableId::Vcells => {
            ("vcells_max", "exceptions by pair and port", "name fewer distinct ports in rules that overlap")
        }
        TableId::Verdicts => {
            ("verdicts_max", "distinct verdicts", "write fewer rules, or fewer policies in observe mode at once")
        }
        TableId::Limits => {
            ("limits_max", "rules with rate limits", "merge limited rules that differ only in peers or services")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn g18_defaults_are_tens_of_mebibytes() {
        assert!(CompileLimits::default().bytes() < 96 << 20, "{}", CompileLimits::default().bytes());
    }
}
