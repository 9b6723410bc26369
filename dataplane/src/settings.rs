//! Numbers that are written into the programs' instructions before they are loaded: `bpf/settings.h`. A program then needs no memory
//! access to learn where a table lies, and the verifier knows the bound that an index was compared with. The same with the maps of one
//! value: a program has the address of the value in an instruction, and needs no look-up.

use std::os::fd::RawFd;

use policy::TableId;

use crate::{elf, sizes::Placement};

/// The number in the place of setting 0.
const MARK: u32 = 0x7e57_0000;
/// The instructions that hold a mark: 32-bit move, and, and multiplication, 64-bit addition, all with an immediate.
const WITH_MARK: [u8; 4] = [0xb4, 0x54, 0x24, 0x07];
/// Bytes of an instruction.
const INSTRUCTION_BYTES: usize = 8;
/// The number in the place of value 0.
const VALUE_MARK: u32 = 0x7e58_0000;
/// The instruction that holds such a mark: a 64-bit immediate, which takes the place of two.
const LOAD_64: u8 = 0x18;
/// In the upper half of its registers: the immediate is a map, and the address of its value is meant.
const PSEUDO_MAP_VALUE: u8 = 2;

/// The maps whose value is addressed so, in the order of `enum hr_value`.
pub(crate) const VALUES: [&str; 8] =
    ["hr_live", "hr_gate", "hr_timeouts", "hr_cpus", "hr_rules", "hr_buckets", "hr_image_even", "hr_image_odd"];

/// In the order of `enum hr_setting`: where each table begins, what cuts an index to it, and the rest.
/// The one with which an image begins is not among them.
const TABLES: [(TableId, &str); 12] = [
    (TableId::Root6, "ROOT6"),
    (TableId::Chunks, "CHUNKS"),
    (TableId::Skips, "SKIPS"),
    (TableId::Classes, "CLASSES"),
    (TableId::Base, "BASE"),
    (TableId::Cells, "CELLS"),
    (TableId::Ports, "PORTS"),
    (TableId::Pairs, "PAIRS"),
    (TableId::Vbase, "VBASE"),
    (TableId::Vcells, "VCELLS"),
    (TableId::Verdicts, "VERDICTS"),
    (TableId::Limits, "LIMITS"),
];

/// Tables of a fixed size have no setting that says how large they are.
fn is_fixed(table: TableId) -> bool {
    matches!(table, TableId::Root4 | TableId::Root6 | TableId::Ports)
}

/// Tables whose elements are named by their place, in bytes, and not by an index.
fn is_by_place(table: TableId) -> bool {
    matches!(table, TableId::Classes | TableId::Pairs | TableId::Verdicts)
}

/// Every setting by name, in the order of the header.
fn settings(placement: &Placement) -> Vec<(String, usize)> {
    let at = TABLES.iter().map(|(table, name)| (format!("{name}_AT"), placement.offset(*table) * size_of::<u32>()));
    let masks = TABLES.iter().filter(|(table, _)| !is_fixed(*table));
    let masks = masks.map(|(table, name)| {
        let step = if is_by_place(*table) { table.width() * size_of::<u32>() } else { 1 };
        (format!("{name}_MASK"), (placement.elements(*table) - 1) * step)
    });
    let rest = [
        ("RULES_MASK".to_owned(), placement.rules() - 1),
        ("CPUS_MASK".to_owned(), placement.cpus() - 1),
        ("RULES_BYTES".to_owned(), placement.rules_bytes()),
        ("RULES_INSIDE".to_owned(), usize::from(placement.rules_inside())),
        ("CHUNKS_INSIDE".to_owned(), usize::from(placement.chunks_inside())),
    ];
    at.chain(masks).chain(rest).collect()
}

/// The settings as numbers, for programs that have no instructions to write them into (`bpf/native/settings.h`).
pub(crate) fn values(placement: &Placement) -> Vec<u32> {
    let number = |(_, value)| u32::try_from(value).expect("tables are below 2 GiB");
    settings(placement).into_iter().map(number).collect()
}

/// A copy of an object file with the settings of a placement in it, and the descriptors of [`VALUES`].
pub(crate) fn written_into(object: &[u8], placement: &Placement, values: &[RawFd; VALUES.len()]) -> Vec<u8> {
    let mut object = object.to_vec();
    let settings = settings(placement);
    for section in elf::code_sections(&object) {
        for instruction in object[section].chunks_exact_mut(INSTRUCTION_BYTES) {
            let immediate = u32::from_le_bytes([instruction[4], instruction[5], instruction[6], instruction[7]]);
            let setting = immediate.checked_sub(MARK).and_then(|number| settings.get(number as usize));
            if let Some((_, value)) = setting
                && WITH_MARK.contains(&instruction[0])
            {
                let value = i32::try_from(*value).expect("tables are below 2 GiB");
                instruction[4..].copy_from_slice(&value.to_le_bytes());
            }
            let value = immediate.checked_sub(VALUE_MARK).and_then(|number| values.get(number as usize));
            if let Some(map) = value
                && instruction[0] == LOAD_64
            {
                instruction[1] |= PSEUDO_MAP_VALUE << 4;
                instruction[4..].copy_from_slice(&map.to_le_bytes());
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{object::OBJECT, sizes::TableSizes};

    fn placement() -> Placement {
        Placement { sizes: TableSizes::small(), cpus: 2 }
    }

    /// The names of an enumeration of the header, without what they begin with, in order.
    fn names_of(enumeration: &str) -> Vec<&'static str> {
        let header = include_str!("../bpf/settings.h");
        let (_, body) = header.split_once(&format!("enum {enumeration} {{")).unwrap();
        let lines = body.lines().map(str::trim).take_while(|line| *line != "};");
        lines.filter_map(|line| Some(line.strip_prefix("HR_")?.split_once(',')?.0)).collect()
    }

    #[test]
    fn settings_are_those_of_the_header() {
        let mut here: Vec<String> = settings(&placement()).into_iter().map(|(name, _)| name).collect();
        here.push("SETTINGS".to_owned());
        assert_eq!(here, names_of("hr_setting"));
        let header = include_str!("../bpf/settings.h");
        assert!(header.contains("HR_SETTING_MARK 0x7e570000") && header.contains("HR_VALUE_MARK 0x7e580000"));
    }

    #[test]
    fn values_are_those_of_the_header() {
        let mut here: Vec<String> = VALUES.iter().map(|name| name["hr_".len()..].to_uppercase()).collect();
        here.push("VALUES".to_owned());
        assert_eq!(here, names_of("hr_value"));
    }

    #[test]
    fn no_mark_is_left() {
        let written = written_into(OBJECT, &placement(), &[7; VALUES.len()]);
        let marks = |object: &[u8], mark: u8| {
            let sections = elf::code_sections(object);
            let instructions = sections.into_iter().flat_map(|section| object[section].chunks_exact(8));
            instructions.filter(|i| i[6..8] == [mark, 0x7e]).count()
        };
        assert!(marks(OBJECT, 0x57) > 100 && marks(OBJECT, 0x58) > 10);
        assert_eq!(marks(&written, 0x57) + marks(&written, 0x58), 0);
    }
}
