//! Puts the tables of an image together.

use super::{
    Places,
    addresses::{Addresses, ROLES},
    displace::Rows,
    intern::{Interner, number},
    limits::{CompileError, CompileLimits},
    pairs::Pairs,
    plan::Plan,
    ports::PortClasses,
    rates,
    rules::RuleTable,
    verdicts::{Function, Painter},
};
use crate::image::{CLASS_WORDS, LAYERS, NONE, TableId, Tables, VERDICT_DEFAULT, VERDICT_ONLY};

/// The tables. Every limit that could make them huge is checked before they are.
pub(super) fn tables(
    addresses: Addresses,
    places: &Places,
    plans: &[Plan],
    pairs: &Pairs,
    ports: PortClasses,
    rules: &RuleTable,
    limits: &CompileLimits,
) -> Result<Tables, CompileError> {
    let verdicts = Verdicts::new(pairs, &ports, rules, limits)?;
    let matrix = Matrix::new(plans, &verdicts.pair_of, limits)?;
    let classes = classes(&addresses, places, plans, &matrix);
    Ok(Tables {
        root4: addresses.root4,
        root6: addresses.root6,
        chunks: addresses.trie.chunks,
        skips: addresses.trie.skips,
        classes,
        base: matrix.base,
        cells: matrix.cells,
        ports: ports.words,
        pairs: verdicts.pairs,
        vbase: verdicts.vbase,
        vcells: verdicts.vcells,
        verdicts: verdicts.verdicts,
        limits: rates::words(&rules.infos),
    })
}

impl Addresses {
    /// Whether the trie and the classes fit.
    pub(super) fn check(&self, limits: &CompileLimits) -> Result<(), CompileError> {
        limits.check(TableId::Chunks, self.trie.chunks_needed)?;
        limits.check(TableId::Skips, self.trie.skips.len() / TableId::Skips.width())?;
        limits.check(TableId::Classes, self.classes.len())
    }
}

impl Function {
    /// The verdict that is the same for every port, marked as such.
    fn only(&self) -> Option<u32> {
        let first = *self.groups.first()?;
        let same = self.exceptions.is_empty() && self.groups.iter().all(|group| *group == first);
        same.then_some(VERDICT_ONLY | first)
    }
}

/// The tables from pair to verdict.
struct Verdicts {
    /// Where each pair's verdicts are, as `base` and `cells` say it: those that say the same are one.
    pair_of: Vec<u32>,
    pairs: Vec<u32>,
    vbase: Vec<u32>,
    vcells: Vec<u32>,
    verdicts: Vec<u32>,
}

/// A pair by its rows: exceptions of its own, exceptions that it shares, base.
type Record = [u32; 3];

/// What a pair says where it is not what its base says.
#[derive(Clone, Copy)]
struct Said {
    record: Record,
    /// The pair whose exceptions are those that this one shares: itself if it has none of its own.
    root: u32,
}

impl Verdicts {
    fn new(
        pairs: &Pairs,
        ports: &PortClasses,
        rules: &RuleTable,
        limits: &CompileLimits,
    ) -> Result<Verdicts, CompileError> {
        let mut painter = Painter::new(rules, ports);
        let (mut bases, mut rows, mut records) = (Interner::default(), Rows::default(), Interner::default());
        let mut said: Vec<Said> = Vec::with_capacity(pairs.len());
        let mut pair_of = Vec::with_capacity(pairs.len());
        for pair in 0..number(pairs.len()) {
            let function = painter.paint(pairs, pair);
            let root = pairs.parent(pair).map(|parent| said[said[parent as usize].root as usize]);
            let one = say(pair, function, root, &mut bases, &mut rows, ports);
            pair_of.push(function.only().unwrap_or_else(|| TableId::Pairs.place(records.id(&one.record))));
            said.push(one);
            limits.check(TableId::Vcells, rows.cells())?;
            limits.check(TableId::Vbase, bases.len() * ports.groups)?;
        }
        limits.check(TableId::Verdicts, painter.len())?;
        let cells = rows.place(ports.classes);
        let words = records
            .lists()
            .iter()
            .flat_map(|record| [cells.offset(record[0]), cells.offset(record[1]), record[2] * number(ports.groups), 0]);
        Ok(Verdicts {
            pair_of,
            pairs: words.collect(),
            vbase: bases.lists().items().to_vec(),
            verdicts: painter.words(),
            vcells: cells.words,
        })
    }
}

/// How a pair is stored: by its difference from the root of its parent where that is less than all it says.
fn say(
    pair: u32,
    function: &Function,
    root: Option<Said>,
    bases: &mut Interner,
    rows: &mut Rows,
    ports: &PortClasses,
) -> Said {
    let base = bases.id(&function.groups);
    if let Some(Said { record: [_, shared, _], root, .. }) = root.filter(|root| root.record[2] == base) {
        let difference = difference(function, rows.row(shared), ports);
        if difference.len() < function.exceptions.len() || difference.is_empty() {
            return Said { record: [rows.add(&difference), shared, base], root };
        }
    }
    Said { record: [NONE, rows.add(&function.exceptions), base], root: pair }
}

/// What `function` says other than one with the same groups and these exceptions.
fn difference(function: &Function, others: impl Iterator<Item = (u32, u32)>, ports: &PortClasses) -> Vec<(u32, u32)> {
    let mut difference = Vec::new();
    let mut others = others.peekable();
    let of_group = |class: u32| function.groups[ports.group_of[class as usize] as usize];
    for &(class, verdict) in &function.exceptions {
        while let Some((missing, _)) = others.next_if(|other| other.0 < class) {
            difference.push((missing, of_group(missing)));
        }
        if others.next_if(|other| other.0 == class).is_none_or(|other| other.1 != verdict) {
            difference.push((class, verdict));
        }
    }
    difference.extend(others.map(|(missing, _)| (missing, of_group(missing))));
    difference
}

/// The tables from subject and peer to pair.
struct Matrix {
    base: Vec<u32>,
    cells: Vec<u32>,
    /// `row, cells` for each row of each plan.
    rows: Vec<Vec<[u32; 2]>>,
}

impl Matrix {
    fn new(plans: &[Plan], pair_of: &[u32], limits: &CompileLimits) -> Result<Matrix, CompileError> {
        let pair = |pair: u32| pair_of[pair as usize];
        let mut rows = Rows::default();
        let mut base = Vec::new();
        let mut numbered: Vec<Vec<(u32, u32)>> = Vec::new();
        for plan in plans {
            let mut distinct = Interner::default();
            let start = number(base.len());
            let mut of_plan = Vec::with_capacity(plan.rows.len());
            for row in &plan.rows {
                let words: Vec<u32> = row.base.iter().copied().map(pair).collect();
                let group = |peer: u32| words[plan.group_of[peer as usize] as usize];
                let cells = row.cells.iter().map(|&(peer, value)| (peer, pair(value)));
                let cells: Vec<(u32, u32)> = cells.filter(|&(peer, value)| value != group(peer)).collect();
                of_plan.push(match only(&words) {
                    Some(only) if cells.is_empty() => (only, NONE),
                    _ => (start + distinct.id(&words) * number(words.len()), rows.add(&cells)),
                });
            }
            base.extend(distinct.lists().items());
            limits.check(TableId::Base, base.len())?;
            limits.check(TableId::Cells, rows.cells())?;
            numbered.push(of_plan);
        }
        let columns = plans.iter().map(|plan| plan.group_of.len()).max().unwrap_or(0);
        let placed = rows.place(columns);
        let rows = numbered.iter().map(|rows| rows.iter().map(|&(base, cells)| [base, placed.offset(cells)]).collect());
        Ok(Matrix { base, rows: rows.collect(), cells: placed.words })
    }
}

/// The verdict of a row that is the same for every peer and port, marked as such.
fn only(words: &[u32]) -> Option<u32> {
    let first = *words.first()?;
    (first & VERDICT_ONLY != 0 && words.iter().all(|word| *word == first)).then_some(first)
}

/// What each address class is, as subject and as peer of every part.
fn classes(addresses: &Addresses, places: &Places, plans: &[Plan], matrix: &Matrix) -> Vec<u32> {
    let count = addresses.classes.len();
    let mut words = Vec::with_capacity(count * CLASS_WORDS);
    for class in 0..number(count) {
        let signatures = addresses.classes.list(class);
        for (place, part) in places.iter().enumerate() {
            let unselected = if place % LAYERS == LAYERS - 1 { VERDICT_ONLY | VERDICT_DEFAULT } else { NONE };
            let Some(part) = *part else {
                words.extend([unselected, NONE, 0, 0]);
                continue;
            };
            let (subject, peer) = (signatures[part * ROLES], signatures[part * ROLES + 1]);
            let row = plans[part].row_of[subject as usize];
            let [row, cells] = if row == NONE { [unselected, NONE] } else { matrix.rows[part][row as usize] };
            words.extend([row, cells, peer, plans[part].group_of[peer as usize]]);
        }
    }
    words
}
