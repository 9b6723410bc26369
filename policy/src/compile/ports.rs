//! Port classes and port groups.
//!
//! An *atom* is a protocol with a range of ports as a rule names it. Two ports are of one class if and only if the same atoms hold for
//! them, and of one group if the same *wide* atoms do. An atom is wide if telling its classes one by one would cost more
//! than a column for its groups.

use super::{
    intern::{Interner, WordMap, number},
    limits::CompileError,
    lists::{Lists, ascending},
};
use crate::{
    image::{PORT_BLOCK_ENTRIES, PORT_BLOCKS, PORT_ENTRIES, PORT_OTHERS},
    model::Ports,
};

/// Classes that a narrow atom may have: candidates for the border between narrow and wide, descending.
const NARROW_CLASSES: [usize; 8] = [4096, 1024, 256, 64, 16, 4, 1, 0];
/// Classes and groups that 16 bits tell apart.
const CLASSES_MAX: usize = 1 << 16;
/// Classes of all atoms together, and of all sets: 128 MiB each while an image is made.
const OVERLAPS_MAX: usize = 1 << 25;
/// What a cell costs in entries of a base row: two words, and not every cell is full.
const CELL_COST: usize = 3;

/// Atoms and sets of atoms as rules name them.
#[derive(Debug)]
pub(super) struct PortAtoms {
    ids: WordMap<Ports, u32>,
    atoms: Vec<Ports>,
    /// How many rules name each atom.
    uses: Vec<usize>,
    sets: Interner,
}

impl PortAtoms {
    /// The set of every port of every protocol.
    pub(super) const ANY_SET: u32 = 0;

    pub(super) fn new() -> PortAtoms {
        let mut sets = Interner::default();
        sets.id(&[]);
        PortAtoms { ids: WordMap::default(), atoms: Vec::new(), uses: Vec::new(), sets }
    }

    pub(super) fn atom(&mut self, ports: Ports) -> u32 {
        *self.ids.entry(ports).or_insert_with(|| {
            self.atoms.push(ports);
            self.uses.push(0);
            number(self.atoms.len() - 1)
        })
    }

    /// The number of a set of at least one atom.
    pub(super) fn set(&mut self, atoms: Vec<u32>) -> u32 {
        let atoms = ascending(atoms);
        atoms.iter().for_each(|&atom| self.uses[atom as usize] += 1);
        self.sets.id(&atoms)
    }

    /// The union of sets.
    pub(super) fn union(&mut self, sets: &[u32]) -> u32 {
        match sets {
            [one] => *one,
            _ if sets.contains(&Self::ANY_SET) => Self::ANY_SET,
            _ => {
                let atoms = ascending(sets.iter().flat_map(|&set| self.sets.list(set)).copied().collect());
                self.sets.id(&atoms)
            }
        }
    }
}

/// The finished classes.
#[derive(Debug)]
pub(super) struct PortClasses {
    /// The table of the image.
    pub(super) words: Vec<u32>,
    /// How many classes there are.
    pub(super) classes: usize,
    /// How many groups there are.
    pub(super) groups: usize,
    /// The group of each class.
    pub(super) group_of: Vec<u32>,
    /// For each set of atoms the classes of the narrow ones, ascending.
    pub(super) classes_of: Lists<u32>,
    /// For each set of atoms the groups of the wide ones, ascending.
    pub(super) groups_of: Lists<u32>,
}

impl PortClasses {
    /// `fallbacks`: how many different verdicts there are on what no rule names. `border`: the most classes of a narrow atom, if
    /// it is not to be chosen.
    pub(super) fn new(atoms: &PortAtoms, fallbacks: usize, border: Option<usize>) -> Result<PortClasses, CompileError> {
        let intervals = Intervals::new(&atoms.atoms);
        check_overlaps(intervals.overlaps())?;
        let (class_of, classes) = intervals.classes();
        if classes > CLASSES_MAX {
            return Err(CompileError::port_classes(classes, CLASSES_MAX));
        }
        let members = intervals.members(&class_of);
        let narrow_max = border.unwrap_or_else(|| choose_border(&members, &atoms.uses, classes, fallbacks));
        let wide = |atom: u32| members.get(atom).len() > narrow_max;
        let mut partition = Partition::new(classes);
        (0..number(members.len())).filter(|&atom| wide(atom)).for_each(|atom| partition.split(members.get(atom)));
        let (group_of, groups) = partition.numbered();
        let (mut classes_of, mut groups_of) = (Lists::default(), Lists::default());
        for set in atoms.sets.lists().iter() {
            let (broad, fine): (Vec<u32>, Vec<u32>) = set.iter().partition(|&&atom| wide(atom));
            let groups = broad.iter().flat_map(|&atom| members.get(atom)).map(|&class| group_of[class as usize]);
            groups_of.push(ascending(groups.collect()));
            classes_of.push(ascending(fine.iter().flat_map(|&atom| members.get(atom)).copied().collect()));
            check_overlaps(classes_of.items().len() + groups_of.items().len())?;
        }
        let words = intervals.words(&class_of, &group_of);
        Ok(PortClasses { words, classes, groups, group_of, classes_of, groups_of })
    }
}

fn check_overlaps(needed: usize) -> Result<(), CompileError> {
    if needed > OVERLAPS_MAX { Err(CompileError::port_overlaps(needed, OVERLAPS_MAX)) } else { Ok(()) }
}

/// The most classes that an atom may have and still be narrow: where cells and base rows together cost least.
fn choose_border(members: &Lists<u32>, uses: &[usize], classes: usize, fallbacks: usize) -> usize {
    let size = |atom: u32| members.get(atom).len();
    let mut by_size: Vec<u32> = (0..number(members.len())).collect();
    by_size.sort_by_key(|&atom| std::cmp::Reverse(size(atom)));
    let cells = |atom: u32| uses[atom as usize] * size(atom) * CELL_COST;
    let mut narrow: usize = by_size.iter().map(|&atom| cells(atom)).sum();
    let mut wide_uses = 0;
    let mut partition = Partition::new(classes);
    let mut rest = by_size.as_slice();
    let mut best = (usize::MAX, 0);
    for border in NARROW_CLASSES {
        let count = rest.partition_point(|&atom| size(atom) > border);
        for &atom in &rest[..count] {
            partition.split(members.get(atom));
            narrow -= cells(atom);
            wide_uses += uses[atom as usize];
        }
        rest = &rest[count..];
        let cost = narrow + (wide_uses + fallbacks) * partition.count();
        if cost < best.0 {
            best = (cost, border);
        }
    }
    best.1
}

/// The ports table cut at every end of every atom.
struct Intervals {
    /// Where each interval begins; the last is the end of the table.
    bounds: Vec<u32>,
    /// First interval and the one after the last, for each atom.
    spans: Vec<(usize, usize)>,
}

impl Intervals {
    fn new(atoms: &[Ports]) -> Intervals {
        let ranges: Vec<(u32, u32)> = atoms.iter().map(range).collect();
        let mut bounds: Vec<u32> = ranges.iter().flat_map(|&(from, to)| [from, to]).collect();
        bounds.extend([0, number(PORT_ENTRIES)]);
        bounds.sort_unstable();
        bounds.dedup();
        let at = |bound: u32| bounds.partition_point(|&other| other < bound);
        let spans = ranges.iter().map(|&(from, to)| (at(from), at(to))).collect();
        Intervals { bounds, spans }
    }

    /// Intervals of all atoms together.
    fn overlaps(&self) -> usize {
        self.spans.iter().map(|(from, to)| to - from).sum()
    }

    /// The class of each interval, and how many classes there are.
    fn classes(&self) -> (Vec<u32>, usize) {
        let mut partition = Partition::new(self.bounds.len() - 1);
        for &(from, to) in &self.spans {
            partition.split(&(number(from)..number(to)).collect::<Vec<u32>>());
        }
        partition.numbered()
    }

    /// The distinct classes of each atom, ascending.
    fn members(&self, class_of: &[u32]) -> Lists<u32> {
        let mut members = Lists::default();
        for &(from, to) in &self.spans {
            members.push(ascending(class_of[from..to].to_vec()));
        }
        members
    }

    fn words(&self, class_of: &[u32], group_of: &[u32]) -> Vec<u32> {
        let mut words = Vec::with_capacity(PORT_ENTRIES);
        for (bounds, &class) in self.bounds.windows(2).zip(class_of) {
            words.resize(bounds[1] as usize, class | group_of[class as usize] << 16);
        }
        words
    }
}

/// Where the ports are in the table.
fn range(ports: &Ports) -> (u32, u32) {
    match PORT_BLOCKS.iter().position(|&block| block == ports.protocol) {
        Some(block) => {
            let start = number(block * PORT_BLOCK_ENTRIES);
            (start + u32::from(ports.first), start + u32::from(ports.last) + 1)
        }
        None => {
            let entry = number(PORT_OTHERS) + u32::from(ports.protocol);
            (entry, entry + 1)
        }
    }
}

/// Elements 0 to n-1 in parts, refined one set after another.
struct Partition {
    part_of: Vec<u32>,
    /// Elements in each part; parts may be empty.
    sizes: Vec<u32>,
    parts: usize,
    /// For each part, in the current round: where its elements move to.
    moves: Vec<u32>,
}

impl Partition {
    fn new(elements: usize) -> Partition {
        Partition {
            part_of: vec![0; elements],
            sizes: vec![number(elements)],
            parts: usize::from(elements > 0),
            moves: vec![0],
        }
    }

    /// Tells the elements of `set`, which are distinct, apart from the others.
    fn split(&mut self, set: &[u32]) {
        let mut moved: Vec<usize> = Vec::new();
        for &element in set {
            let old = self.part_of[element as usize] as usize;
            if self.moves[old] == 0 {
                self.moves[old] = number(self.sizes.len());
                self.sizes.push(0);
                self.moves.push(0);
                self.parts += 1;
                moved.push(old);
            }
            let new = self.moves[old];
            self.part_of[element as usize] = new;
            self.sizes[new as usize] += 1;
            self.sizes[old] -= 1;
            if self.sizes[old] == 0 {
                self.parts -= 1;
            }
        }
        moved.into_iter().for_each(|old| self.moves[old] = 0);
    }

    fn count(&self) -> usize {
        self.parts
    }

    /// Part of each element, numbered by first element, and how many parts there are.
    fn numbered(&self) -> (Vec<u32>, usize) {
        let mut names = vec![u32::MAX; self.sizes.len()];
        let mut count = 0;
        let part_of = self.part_of.iter().map(|&part| {
            let name = &mut names[part as usize];
            if *name == u32::MAX {
                *name = count;
                count += 1;
            }
            *name
        });
        (part_of.collect(), count as usize)
    }
}
