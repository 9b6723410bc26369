//! Just enough of ELF to find the sections of an object file that clang has made for BPF: 64 bits, little-endian.

use std::ops::Range;

/// Size of a section header.
const HEADER_BYTES: usize = 64;
/// `SHF_EXECINSTR`.
const FLAG_CODE: u64 = 4;

/// Where the sections with instructions lie.
pub(crate) fn code_sections(elf: &[u8]) -> Vec<Range<usize>> {
    headers(elf).filter(|header| u64_at(header, 8) & FLAG_CODE != 0).map(body).collect()
}

/// Where the section of a name lies.
pub(crate) fn section(elf: &[u8], name: &str) -> Option<Range<usize>> {
    let names = body(headers(elf).nth(u16_at(elf, 0x3e))?);
    let is_it = |header: &&[u8]| {
        let at = names.start + u32_at(header, 0);
        elf[at..].starts_with(name.as_bytes()) && elf[at + name.len()] == 0
    };
    headers(elf).find(is_it).map(body)
}

fn headers(elf: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (table, count) = (usize_at(elf, 0x28), u16_at(elf, 0x3c));
    elf[table..].chunks_exact(HEADER_BYTES).take(count)
}

fn body(header: &[u8]) -> Range<usize> {
    let start = usize_at(header, 0x18);
    start..start + usize_at(header, 0x20)
}

fn u16_at(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
}

fn u32_at(bytes: &[u8], at: usize) -> usize {
    u16_at(bytes, at) | u16_at(bytes, at + 2) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

fn usize_at(bytes: &[u8], at: usize) -> usize {
    usize::try_from(u64_at(bytes, at)).expect("the object file is in memory")
}
