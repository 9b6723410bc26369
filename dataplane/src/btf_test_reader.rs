//! Reads the structs out of an object's BTF, for the test of the shared structs. The format is Documentation/bpf/btf.rst.

use std::collections::BTreeMap;

type Structs = BTreeMap<String, (usize, BTreeMap<String, usize>)>;

const KIND_STRUCT: u32 = 4;
const HEADER_BYTES: usize = 24;
const TYPE_BYTES: usize = 12;

/// Size and the offset of each field, in bytes, of every struct.
pub(crate) fn structs_of(object: &[u8]) -> Structs {
    let btf = &object[crate::elf::section(object, ".BTF").unwrap()];
    let types = &btf[HEADER_BYTES + u32_at(btf, 8)..][..u32_at(btf, 12)];
    let strings = &btf[HEADER_BYTES + u32_at(btf, 16)..][..u32_at(btf, 20)];
    let (mut structs, mut at) = (Structs::new(), 0);
    while at < types.len() {
        let info = u32::try_from(u32_at(types, at + 4)).unwrap();
        let (kind, count) = (info >> 24 & 0x1f, (info & 0xffff) as usize);
        let members = &types[at + TYPE_BYTES..];
        if kind == KIND_STRUCT {
            let fields = members.chunks_exact(12).take(count);
            let fields = fields.map(|m| (name(strings, u32_at(m, 0)), u32_at(m, 8) / 8)).collect();
            structs.insert(name(strings, u32_at(types, at)), (u32_at(types, at + 8), fields));
        }
        at += TYPE_BYTES + trailer(kind, count);
    }
    structs
}

/// Bytes behind a type of a kind.
fn trailer(kind: u32, count: usize) -> usize {
    match kind {
        1 | 14 | 17 => 4,
        3 => 12,
        4 | 5 | 15 | 19 => 12 * count,
        6 | 13 => 8 * count,
        _ => 0,
    }
}

fn name(strings: &[u8], at: usize) -> String {
    let end = strings[at..].iter().position(|byte| *byte == 0).unwrap();
    String::from_utf8(strings[at..at + end].to_vec()).unwrap()
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize
}
