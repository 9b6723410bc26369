//! Which of our interfaces is a VLAN of which other one: a tagged frame on the parent belongs to the child's guard.

use std::{collections::BTreeMap, fs};

use policy::LocalInterface;
use rustix::net::{AddressFamily, SocketType, netdevice::name_to_index, socket};

/// The VLAN table of this thread's network namespace.
const VLAN_TABLE: &str = "/proc/thread-self/net/vlan/config";

/// (parent, VLAN) to child, among the interfaces given.
pub(crate) fn children(interfaces: &[LocalInterface]) -> BTreeMap<(u32, u16), u32> {
    // No table: the kernel has no VLAN devices.
    parse(&fs::read_to_string(VLAN_TABLE).unwrap_or_default(), interfaces)
}

/// Every device that carries a VLAN of one of the interfaces, also by way of another VLAN.
pub(crate) fn above(interfaces: &[LocalInterface]) -> Vec<u32> {
    let names = above_in(&fs::read_to_string(VLAN_TABLE).unwrap_or_default(), interfaces);
    let Ok(socket) = socket(AddressFamily::INET, SocketType::DGRAM, None) else { return Vec::new() };
    // A device that has gone in between carries nothing.
    names.iter().filter_map(|name| name_to_index(&socket, name).ok()).collect()
}

/// A device is younger than the one below it, and the table is in the order of their age.
fn above_in(table: &str, interfaces: &[LocalInterface]) -> Vec<String> {
    let mut above: Vec<String> = Vec::new();
    for (child, _, parent) in table.lines().filter_map(columns) {
        if interfaces.iter().any(|i| i.name == parent) || above.iter().any(|name| name == parent) {
            above.push(child.to_owned());
        }
    }
    above
}

/// Lines are `eth0.5 | 5 | eth0` after two of headings.
fn parse(table: &str, interfaces: &[LocalInterface]) -> BTreeMap<(u32, u16), u32> {
    let index_of = |name: &str| interfaces.iter().find(|i| i.name == name).map(|i| i.ifindex);
    let line = |(child, vid, parent): (&str, u16, &str)| Some(((index_of(parent)?, vid), index_of(child)?));
    table.lines().filter_map(columns).filter_map(line).collect()
}

/// Child, VLAN and parent of a line; `None` of a heading.
fn columns(line: &str) -> Option<(&str, u16, &str)> {
    let mut columns = line.split('|').map(str::trim);
    let (child, vid, parent) = (columns.next()?, columns.next()?, columns.next()?);
    Some((child, vid.parse().ok()?, parent))
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

    #[test]
    fn what_carries_a_vlan_of_ours_is_above_us_also_by_way_of_another() {
        let table = "VLAN Dev name    | VLAN ID\neth0.5 | 5 | eth0\neth0.5.6 | 6 | eth0.5\neth1.5 | 5 | eth1\n";
        let eth0 = LocalInterface { name: "eth0".to_owned(), ifindex: 2, role: Role::Vip, addresses: vec![] };
        assert_eq!(above_in(table, &[eth0]), ["eth0.5", "eth0.5.6"]);
    }
}
