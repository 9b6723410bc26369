//! Which of our interfaces is a VLAN of which other one: a tagged frame on the parent belongs to the child's guard.

use std::{collections::BTreeMap, fs};

use policy::LocalInterface;

/// The VLAN table of this thread's network namespace.
const VLAN_TABLE: &str = "/proc/thread-self/net/vlan/config";

/// (parent, VLAN) to child, among the interfaces given.
pub(crate) fn children(interfaces: &[LocalInterface]) -> BTreeMap<(u32, u16), u32> {
    // No table: the kernel has no VLAN devices.
    parse(&fs::read_to_string(VLAN_TABLE).unwrap_or_default(), interfaces)
}

/// Lines are `eth0.5 | 5 | eth0` after two of headings.
fn parse(table: &str, interfaces: &[LocalInterface]) -> BTreeMap<(u32, u16), u32> {
    let index_of = |name: &str| interfaces.iter().find(|i| i.name == name).map(|i| i.ifindex);
    let line = |line: &str| {
        let mut columns = line.split('|').map(str::trim);
        let (child, vid, parent) = (columns.next()?, columns.next()?, columns.next()?);
        Some(((index_of(parent)?, vid.parse().ok()?), index_of(child)?))
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use identity::Role;

    #[test]
    fn only_pairs_of_ours_count() {
        let table = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n\
                     eth0.5         | 5  | eth0\neth0.6         | 6  | eth0\n";
        let of =
            |name: &str, ifindex| LocalInterface { name: name.to_owned(), ifindex, role: Role::Vip, addresses: vec![] };
        let found = parse(table, &[of("eth0", 2), of("eth0.5", 7)]);
        assert_eq!(found, BTreeMap::from([((2, 5), 7)]));
        assert!(parse("", &[]).is_empty());
    }
}
