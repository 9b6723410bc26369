//! Row displacement (Tarjan and Yao, "Storing a sparse table", CACM 1979): sparse rows laid over each other in one table, each
//! shifted so far that no two of its cells meet another's. A cell names its owner by the row's offset, which no other row has.

use super::intern::{Interner, number};
use crate::image::NONE;

/// Blocks of 64 offsets that a search may pass over before the next one of like length begins further on.
const BLOCKS_PASSED_MAX: usize = 64;

/// Sparse rows on their way into one table.
#[derive(Debug, Default)]
pub(super) struct Rows {
    /// `column, value, column, value, …` by ascending column.
    rows: Interner,
    cells: usize,
    scratch: Vec<u32>,
}

/// The finished table.
#[derive(Debug)]
pub(super) struct Displaced {
    /// `{owner, value}` for each cell; owner [`NONE`] for an empty one.
    pub(super) words: Vec<u32>,
    offsets: Vec<u32>,
}

impl Rows {
    /// Takes a row, of (column, value) by ascending column; equal rows are kept once. [`NONE`] for an empty one.
    pub(super) fn add(&mut self, row: &[(u32, u32)]) -> u32 {
        if row.is_empty() {
            return NONE;
        }
        self.scratch.clear();
        self.scratch.extend(row.iter().flat_map(|&(column, value)| [column, value]));
        let known = self.rows.len();
        let id = self.rows.id(&self.scratch);
        if self.rows.len() > known {
            self.cells += row.len();
        }
        id
    }

    /// The (column, value) of a row that was taken; none of [`NONE`].
    pub(super) fn row(&self, row: u32) -> impl Iterator<Item = (u32, u32)> {
        let flat = if row == NONE { &[] } else { self.rows.list(row) };
        flat.chunks_exact(2).map(|cell| (cell[0], cell[1]))
    }

    /// Cells of all distinct rows.
    pub(super) fn cells(&self) -> usize {
        self.cells
    }

    /// Lays the rows out, the longest first. `columns`: more than any column that is ever asked for.
    pub(super) fn place(&self, columns: usize) -> Displaced {
        let mut order: Vec<u32> = (0..number(self.rows.len())).collect();
        order.sort_by_key(|&id| std::cmp::Reverse(self.rows.list(id).len()));
        let mut layout = Layout::default();
        let mut offsets = vec![NONE; order.len()];
        for id in order {
            offsets[id as usize] = number(layout.insert(self.rows.list(id)));
        }
        let length = offsets.iter().max().map_or(0, |&last| last as usize + columns);
        layout.cells.resize(length, CELL_EMPTY);
        Displaced { words: layout.cells.into_flattened(), offsets }
    }
}

impl Displaced {
    /// The offset of a row; [`NONE`] for an empty one.
    pub(super) fn offset(&self, row: u32) -> u32 {
        if row == NONE { NONE } else { self.offsets[row as usize] }
    }
}

/// `{owner, value}` of nobody.
const CELL_EMPTY: [u32; 2] = [NONE, 0];

#[derive(Default)]
struct Layout {
    /// `{owner, value}` each.
    cells: Vec<[u32; 2]>,
    /// Which cells are taken, a bit each.
    taken: Bits,
    /// Which offsets are, a bit each.
    used: Bits,
    /// For rows of each length (its power of two), the block at which to begin: those before are as good as full for them.
    begin: [usize; 32],
}

#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// 64 bits from a position on.
    fn at(&self, position: usize) -> u64 {
        let (word, shift) = (position / 64, position % 64);
        let get = |word: usize| self.0.get(word).copied().unwrap_or(0);
        if shift == 0 { get(word) } else { get(word) >> shift | get(word + 1) << (64 - shift) }
    }

    fn set(&mut self, position: usize) {
        if self.0.len() <= position / 64 {
            self.0.resize(position / 64 + 1, 0);
        }
        self.0[position / 64] |= 1 << (position % 64);
    }
}

impl Layout {
    fn insert(&mut self, row: &[u32]) -> usize {
        let class = (row.len() / 2).ilog2() as usize;
        let begin = self.begin[class];
        let block = (begin..).find(|&block| self.conflicts(block, row) != u64::MAX).unwrap_or(begin);
        if block > begin + BLOCKS_PASSED_MAX {
            self.begin[class] = begin + (block - begin) / 2;
        }
        let offset = block * 64 + self.conflicts(block, row).trailing_ones() as usize;
        self.occupy(offset, row);
        offset
    }

    /// Which of the 64 offsets of a block the row cannot have, a bit each.
    fn conflicts(&self, block: usize, row: &[u32]) -> u64 {
        let mut conflicts = self.used.at(block * 64);
        for column in columns(row) {
            if conflicts == u64::MAX {
                break;
            }
            conflicts |= self.taken.at(block * 64 + column);
        }
        conflicts
    }

    fn occupy(&mut self, offset: usize, row: &[u32]) {
        self.used.set(offset);
        let last = columns(row).last().unwrap_or(0);
        if self.cells.len() <= offset + last {
            self.cells.resize(offset + last + 1, CELL_EMPTY);
        }
        for cell in row.chunks_exact(2) {
            let place = offset + cell[0] as usize;
            self.taken.set(place);
            self.cells[place] = [number(offset), cell[1]];
        }
    }
}

fn columns(row: &[u32]) -> impl Iterator<Item = usize> {
    row.chunks_exact(2).map(|cell| cell[0] as usize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::SplitMix64;

    fn lookup(table: &Displaced, row: u32, column: u32) -> Option<u32> {
        let offset = table.offset(row);
        if offset == NONE {
            return None;
        }
        let index = (offset + column) as usize * 2;
        (table.words[index] == offset).then(|| table.words[index + 1])
    }

    #[test]
    fn every_cell_is_found_and_no_other() {
        let mut random = SplitMix64::new(1);
        for columns in [1, 7, 60, 300] {
            let mut rows = Rows::default();
            let dense: Vec<Vec<Option<u32>>> = (0..200)
                .map(|_| {
                    let sparsity = random.below(30) + 1;
                    (0..columns).map(|_| random.once_in(sparsity).then(|| number(random.below(9)))).collect()
                })
                .collect();
            let sparse = |row: &Vec<Option<u32>>| -> Vec<(u32, u32)> {
                (0u32..).zip(row).filter_map(|(column, value)| value.map(|value| (column, value))).collect()
            };
            let ids: Vec<u32> = dense.iter().map(|row| rows.add(&sparse(row))).collect();
            let table = rows.place(columns);
            for (row, id) in dense.iter().zip(ids) {
                for (column, value) in (0u32..).zip(row) {
                    assert_eq!(lookup(&table, id, column), *value);
                }
            }
        }
    }

    #[test]
    fn single_cells_cost_no_more_than_rows_and_columns() {
        let mut rows = Rows::default();
        for i in 0..10_000 {
            rows.add(&[(i, i)]);
        }
        assert!(rows.place(10_000).words.len() / 2 <= 20_001);
    }
}
