//! Reads types out of an object's BTF: what the maps of two versions of the programs must have in common. The format is
//! Documentation/bpf/btf.rst.

use std::fmt::Write as _;

/// Bytes of the header, of a type without its trailer, and of a member, a variable of a section or a parameter.
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;
const MEMBER_BYTES: usize = 12;
const KIND_INT: usize = 1;
const KIND_POINTER: usize = 2;
const KIND_ARRAY: usize = 3;
const KIND_STRUCT: usize = 4;
const KIND_UNION: usize = 5;
const KIND_ENUM: usize = 6;
const KIND_VARIABLE: usize = 14;
const KIND_SECTION: usize = 15;
/// typedef, volatile, const, restrict, and a tag on a type: other names for what they stand before.
const KINDS_TRANSPARENT: [usize; 5] = [8, 9, 10, 11, 18];
/// Types within types; what is deeper than this points to itself.
const DEPTH_MAX: usize = 16;

/// The types of an object file.
pub(crate) struct Btf<'a> {
    strings: &'a [u8],
    /// By number, from 1 on.
    types: Vec<&'a [u8]>,
}

impl<'a> Btf<'a> {
    /// Of an object that clang made and this crate embeds; damage is a fault of the build.
    pub(crate) fn of(object: &'a [u8]) -> Btf<'a> {
        let btf = &object[crate::elf::section(object, ".BTF").expect("clang writes a .BTF section with -g")];
        let mut rest = &btf[HEADER_BYTES + u32_at(btf, 8)..][..u32_at(btf, 12)];
        let strings = &btf[HEADER_BYTES + u32_at(btf, 16)..][..u32_at(btf, 20)];
        let mut types = Vec::new();
        while rest.len() >= TYPE_BYTES {
            let (one, others) = rest.split_at(TYPE_BYTES + trailer_bytes(rest));
            types.push(one);
            rest = others;
        }
        Btf { strings, types }
    }

    /// The layouts of maps, in the order given: their definitions with everything that keys and values consist of, by name, offset
    /// and size. Names of types and comments are not in it.
    pub(crate) fn maps(&self, names: &[&str]) -> String {
        let mut text = String::new();
        for name in names {
            let map = self.types.iter().find(|t| kind(t) == KIND_VARIABLE && self.name(t) == *name);
            let map = map.unwrap_or_else(|| panic!("the object has no map {name}"));
            write!(text, "{name} ").expect("a string grows");
            self.describe(&mut text, u32_at(map, 8), 0);
        }
        text
    }

    /// The names of all maps, in the order of the object.
    pub(crate) fn map_names(&self) -> Vec<&'a str> {
        let section = self.types.iter().find(|t| kind(t) == KIND_SECTION && self.name(t) == ".maps");
        let entries = section.map(|section| section[TYPE_BYTES..].chunks_exact(MEMBER_BYTES)).into_iter().flatten();
        entries.filter_map(|entry| self.get(u32_at(entry, 0))).map(|variable| self.name(variable)).collect()
    }

    /// The layout of a struct.
    pub(crate) fn layout(&self, name: &str) -> String {
        let mut text = format!("{name} ");
        let at = self.types.iter().position(|t| kind(t) == KIND_STRUCT && self.name(t) == name);
        self.describe(&mut text, at.unwrap_or_else(|| panic!("the object has no struct {name}")) + 1, 0);
        text
    }

    /// Writes what a type is in memory.
    fn describe(&self, text: &mut String, number: usize, depth: usize) {
        let Some(one) = self.get(number).filter(|_| depth < DEPTH_MAX) else { return };
        let wrote = match kind(one) {
            KIND_STRUCT | KIND_UNION => return self.describe_struct(text, one, depth),
            KIND_ARRAY => {
                // Element type, index type, number of elements.
                self.describe(text, u32_at(one, TYPE_BYTES), depth + 1);
                write!(text, "[{}] ", u32_at(one, TYPE_BYTES + 8))
            }
            // Of a map's definition: a pointer to the type of the key or value, or to an array as long as the number meant.
            KIND_POINTER => return self.describe(text, u32_at(one, 8), depth + 1),
            kind if KINDS_TRANSPARENT.contains(&kind) => return self.describe(text, u32_at(one, 8), depth + 1),
            KIND_INT | KIND_ENUM => write!(text, "{} ", u32_at(one, 8)),
            kind => write!(text, "k{kind} "),
        };
        wrote.expect("a string grows");
    }

    fn describe_struct(&self, text: &mut String, one: &[u8], depth: usize) {
        write!(text, "{}{{", u32_at(one, 8)).expect("a string grows");
        for member in one[TYPE_BYTES..].chunks_exact(MEMBER_BYTES) {
            write!(text, "{}@{} ", self.text(u32_at(member, 0)), u32_at(member, 8)).expect("a string grows");
            self.describe(text, u32_at(member, 4), depth + 1);
        }
        text.push_str("} ");
    }

    fn get(&self, number: usize) -> Option<&'a [u8]> {
        self.types.get(number.checked_sub(1)?).copied()
    }

    fn name(&self, one: &[u8]) -> &'a str {
        self.text(u32_at(one, 0))
    }

    fn text(&self, at: usize) -> &'a str {
        let bytes = self.strings[at..].split(|byte| *byte == 0).next().unwrap_or_default();
        std::str::from_utf8(bytes).expect("names in C are ASCII")
    }

    /// Size and the offset of each field, in bytes, of every struct.
    #[cfg(test)]
    pub(crate) fn structs(&self) -> Structs {
        let structs = self.types.iter().filter(|t| kind(t) == KIND_STRUCT);
        let fields = |one: &[u8]| {
            let members = one[TYPE_BYTES..].chunks_exact(MEMBER_BYTES);
            members.map(|m| (self.text(u32_at(m, 0)).to_owned(), u32_at(m, 8) / 8)).collect()
        };
        structs.map(|one| (self.name(one).to_owned(), (u32_at(one, 8), fields(one)))).collect()
    }
}

/// By name: size, and the offset of each field.
#[cfg(test)]
type Structs = std::collections::BTreeMap<String, (usize, std::collections::BTreeMap<String, usize>)>;

fn kind(one: &[u8]) -> usize {
    u32_at(one, 4) >> 24 & 0x1f
}

/// Bytes behind the first part of a type.
fn trailer_bytes(one: &[u8]) -> usize {
    let count = u32_at(one, 4) & 0xffff;
    match kind(one) {
        // Integer, variable, tag on a declaration.
        KIND_INT | KIND_VARIABLE | 17 => 4,
        KIND_ARRAY => 12,
        // The last: an enumeration of 64 bits.
        KIND_STRUCT | KIND_UNION | KIND_SECTION | 19 => MEMBER_BYTES * count,
        // The latter: a function's type.
        KIND_ENUM | 13 => 8 * count,
        _ => 0,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    let word: [u8; 4] = bytes[at..at + 4].try_into().expect("four bytes");
    u32::from_le_bytes(word) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::OBJECT;

    #[test]
    fn maps_are_described_by_what_lies_in_them() {
        let btf = Btf::of(OBJECT);
        let names = btf.map_names();
        assert!(names.contains(&"hr_live") && names.contains(&"hr_flows4") && names.len() > 10, "{names:?}");
        let live = btf.maps(&["hr_live"]);
        assert!(live.contains("{generation@0 4 disarmed@32 4 }"), "{live}");
        assert_ne!(btf.maps(&["hr_flows4"]), btf.maps(&["hr_flows6"]).replace("hr_flows6", "hr_flows4"));
        assert!(btf.layout("hr_gate").contains("far@0 1 [16384]"), "{}", btf.layout("hr_gate"));
    }
}
