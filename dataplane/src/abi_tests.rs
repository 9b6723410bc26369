//! The structs here against those of the object file, and a number against that of the header.

use std::collections::BTreeMap;

use super::{EPHEMERAL_PORT_FIRST, layouts};
use crate::btf::Btf;

#[test]
fn structs_are_those_of_the_object() {
    let there: BTreeMap<String, (usize, BTreeMap<String, usize>)> = Btf::of(crate::testing::OBJECT).structs();
    for (name, size, fields) in layouts() {
        let (size_there, fields_there) = there.get(name).unwrap_or_else(|| panic!("the object has no struct {name}"));
        assert_eq!(size, *size_there, "size of {name}");
        for (field, offset) in &fields {
            assert_eq!(fields_there.get(*field), Some(offset), "{name}.{field}");
        }
        assert_eq!(fields.len(), fields_there.len(), "{name} has {fields_there:?} in the object");
    }
}

#[test]
fn ephemeral_ports_begin_where_the_programs_say() {
    let header = include_str!("../bpf/consts.h");
    assert!(header.contains(&format!("#define HR_EPHEMERAL_PORT_FIRST {EPHEMERAL_PORT_FIRST}\n")));
}

#[test]
fn the_default_rule_is_the_one_that_the_programs_take_for_it() {
    let header = include_str!("../bpf/consts.h");
    assert!(header.contains(&format!("#define HR_RULE_DEFAULT {}\n", policy::image::RULE_DEFAULT)));
}
