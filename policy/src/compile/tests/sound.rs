//! What every reader of an image relies on: no index leads out of its table, and no walk is longer than promised.

use crate::image::{
    CHUNK_ENTRIES, CLASS_PART_WORDS, CLASS_WORDS, ENTRY_BRANCH, ENTRY_INDEX, ENTRY_SKIP, FLAG_LIMIT, FLAG_TRIAL_LIMIT,
    Image, LAYERS, LIMIT_NONE, NONE, PORT_ENTRIES, ROOT_ENTRIES, STEPS_V4_MAX, STEPS_V6_MAX, TABLES, TableId, Tables,
    VERDICT_ONLY,
};

/// Panics if the image is not sound.
pub(super) fn check(image: &Image) {
    let tables = &image.tables;
    for table in TABLES {
        assert_eq!(tables.words(table).len() % table.width(), 0, "{}", table.name());
    }
    assert_eq!(
        (tables.root4.len(), tables.root6.len(), tables.ports.len()),
        (ROOT_ENTRIES, ROOT_ENTRIES, PORT_ENTRIES)
    );
    check_walks(tables);
    check_classes(tables);
    check_verdicts(tables, image.rules.len());
}

fn check_walks(tables: &Tables) {
    for (root, steps) in [(&tables.root4, STEPS_V4_MAX), (&tables.root6, STEPS_V6_MAX)] {
        let mut before = None;
        for &entry in root.iter().filter(|&&entry| before.replace(entry) != Some(entry)) {
            walk(tables, entry, 16, steps);
        }
    }
}

fn walk(tables: &Tables, entry: u32, depth: u32, steps: usize) {
    if entry & ENTRY_BRANCH == 0 {
        assert!(is_place(tables, TableId::Classes, entry));
        return;
    }
    let steps = steps.checked_sub(1).expect("a walk is longer than promised");
    let index = (entry & ENTRY_INDEX) as usize;
    if entry & ENTRY_SKIP == 0 {
        for &next in &tables.chunks[index * CHUNK_ENTRIES..(index + 1) * CHUNK_ENTRIES] {
            walk(tables, next, depth + 8, steps);
        }
    } else {
        let skip = &tables.skips[index * 8..index * 8 + 8];
        assert!(skip[4] > depth && skip[4].is_multiple_of(8) && skip[4] <= 128);
        walk(tables, skip[5], skip[4], steps);
        walk(tables, skip[6], depth, steps);
    }
}

/// Any subject may meet any peer.
fn check_classes(tables: &Tables) {
    for part in 0..CLASS_WORDS / CLASS_PART_WORDS {
        let words = |word: usize| {
            tables.classes.chunks_exact(CLASS_WORDS).map(move |class| class[part * CLASS_PART_WORDS + word])
        };
        let last = |word| words(word).filter(|&value| value & VERDICT_ONLY == 0).max();
        let may_be_none = part % LAYERS != LAYERS - 1;
        assert!(words(0).all(|row| (may_be_none && row == NONE) || is_verdict(tables, row) || row & VERDICT_ONLY == 0));
        let (cols, groups) = (last(2).unwrap(), last(3).unwrap());
        assert!(last(0).is_none_or(|row| ((row + groups) as usize) < tables.base.len()));
        assert!(last(1).is_none_or(|cells| ((cells + cols) as usize) < tables.cells.len() / 2));
    }
    let known = |pair: u32| is_verdict(tables, pair) || is_place(tables, TableId::Pairs, pair);
    assert!(tables.base.iter().all(|&pair| known(pair)));
    assert!(tables.cells.chunks_exact(2).all(|cell| cell[0] == NONE || known(cell[1])));
}

/// Whether a word says a verdict, and one that there is.
fn is_verdict(tables: &Tables, word: u32) -> bool {
    word & VERDICT_ONLY != 0 && is_place(tables, TableId::Verdicts, word & !VERDICT_ONLY)
}

/// Whether an element begins there.
fn is_place(tables: &Tables, table: TableId, place: u32) -> bool {
    let bytes = table.width() * size_of::<u32>();
    (place as usize).is_multiple_of(bytes) && place as usize / bytes < tables.elements(table)
}

fn check_verdicts(tables: &Tables, rules: usize) {
    let classes = tables.ports.iter().map(|word| word & 0xffff).max().unwrap();
    let groups = tables.ports.iter().map(|word| word >> 16).max().unwrap();
    for pair in tables.pairs.chunks_exact(4) {
        for cells in [pair[0], pair[1]] {
            assert!(cells == NONE || ((cells + classes) as usize) < tables.vcells.len() / 2);
        }
        assert!(((pair[2] + groups) as usize) < tables.vbase.len());
    }
    assert!(tables.vbase.iter().all(|&verdict| is_place(tables, TableId::Verdicts, verdict)));
    assert!(tables.vcells.chunks_exact(2).all(|cell| cell[0] == NONE || is_place(tables, TableId::Verdicts, cell[1])));
    let limits = tables.elements(TableId::Limits);
    for verdict in tables.verdicts.chunks_exact(4) {
        assert!((verdict[1] as usize) < rules && (verdict[3] as usize) < rules);
        for (index, flag) in [(verdict[2] & LIMIT_NONE, FLAG_LIMIT), (verdict[2] >> 16, FLAG_TRIAL_LIMIT)] {
            assert!(index == LIMIT_NONE || (index as usize) < limits);
            assert_eq!(verdict[0] & flag != 0, index != LIMIT_NONE);
        }
    }
}
