//! The guard of a small cluster, entry by entry, and that it is tight (G0).

mod reference;

use std::net::IpAddr;

use identity::{Fingerprint, MemberAddress, MemberRecord, NodeId, Role};

use super::*;
use crate::channel::{Channel, NAMES, catalogue};

const CLUSTER: u32 = 2;
const VIP: u32 = 3;
const BACKEND: u32 = 4;
const PORT: u16 = 7400;

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn node(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

/// Addresses of node `n` of a role, with their prefix lengths.
fn nets(n: u64, role: Role) -> Vec<IpNet> {
    let nets = match role {
        Role::Cluster => [format!("10.77.0.{n}/24"), format!("fd77::{n}/64"), format!("fe80::77:{n}/64")],
        Role::Vip => [format!("203.0.113.{n}/24"), format!("2001:db8::{n}/64"), format!("fe80::203:{n}/64")],
        Role::Backend => [format!("192.168.9.{n}/24"), format!("fd99::{n}/64"), format!("fe80::99:{n}/64")],
    };
    nets.iter().map(|net| net.parse().unwrap()).collect()
}

fn member(n: u64) -> MemberRecord {
    let of = |role| nets(n, role).into_iter().map(move |net| MemberAddress { role, addr: net.addr() });
    MemberRecord {
        node: node(n),
        name: format!("lb{n}"),
        endpoint: format!("10.77.0.{n}:{PORT}").parse().unwrap(),
        api: None,
        fingerprint: Fingerprint([u8::try_from(n).unwrap(); 32]),
        addresses: [Role::Cluster, Role::Vip, Role::Backend].into_iter().flat_map(of).collect(),
        witness: false,
    }
}

pub(crate) fn interfaces(n: u64) -> Vec<LocalInterface> {
    [(CLUSTER, Role::Cluster), (VIP, Role::Vip), (BACKEND, Role::Backend)]
        .map(|(ifindex, role)| LocalInterface { name: format!("{role}0"), ifindex, role, addresses: nets(n, role) })
        .into()
}

/// A channel of the catalogue with what it needs to be complete.
fn channel(name: &str) -> Channel {
    let extra = match name {
        "haproxy-peers" => serde_json::json!({ "name": name, "port": 10000 }),
        "management" => serde_json::json!({ "name": name, "from": ["10.77.0.200", "fd77::200"] }),
        _ => serde_json::json!({ "name": name }),
    };
    serde_json::from_value(extra).unwrap()
}

pub(crate) fn guard_with(names: &[&str]) -> Guard {
    let channels: Vec<Channel> = names.iter().map(|name| channel(name)).collect();
    guard(node(1), &interfaces(1), &channels, &[member(1), member(2), member(3)], PORT).unwrap()
}

/// The entries that a channel adds to those of the cluster's own.
fn entries(name: &str) -> Vec<GuardEntry> {
    guard_with(&[name]).entries.difference(&guard_with(&[]).entries).copied().collect()
}

fn entry(ifindex: u32, direction: Direction, protocol: u8, matching: PortMatch, src: &str, dst: &str) -> GuardEntry {
    GuardEntry { ifindex, direction, protocol, matching, src: addr(src), dst: addr(dst), ttl: None }
}

#[test]
fn g0_the_cluster_itself_is_always_there_and_only_between_members() {
    let entries = guard_with(&[]).entries;
    // Two peers, three addresses of like scope each, two directions.
    assert_eq!(entries.len(), 2 * 3 * 2);
    for peer in ["10.77.0.2", "10.77.0.3"] {
        let dst = PortMatch::Dst(PORT);
        assert!(entries.contains(&entry(CLUSTER, Direction::Ingress, 17, dst, peer, "10.77.0.1")));
        assert!(entries.contains(&entry(CLUSTER, Direction::Egress, 17, dst, "10.77.0.1", peer)));
    }
    assert!(entries.contains(&entry(
        CLUSTER,
        Direction::Ingress,
        17,
        PortMatch::Dst(PORT),
        "fe80::77:2",
        "fe80::77:1"
    )));
    assert!(entries.iter().all(|entry| entry.ifindex == CLUSTER && entry.src != entry.dst));
}

#[test]
fn g0_vrrp_is_open_from_members_to_its_groups_and_between_them() {
    let entries = entries("vrrp");
    let vrrp =
        |direction, src, dst| GuardEntry { ttl: Some(255), ..entry(VIP, direction, 112, PortMatch::Any, src, dst) };
    for expected in [
        vrrp(Direction::Ingress, "203.0.113.2", "224.0.0.18"),
        vrrp(Direction::Egress, "203.0.113.1", "224.0.0.18"),
        vrrp(Direction::Ingress, "fe80::203:3", "ff02::12"),
        vrrp(Direction::Egress, "fe80::203:1", "ff02::12"),
        vrrp(Direction::Ingress, "203.0.113.3", "203.0.113.1"),
    ] {
        assert!(entries.contains(&expected), "{expected:?}");
    }
    assert!(entries.iter().all(|entry| entry.ifindex == VIP && entry.protocol == 112 && entry.ttl == Some(255)));
    // IPv6 sends to a link-local group from link-local addresses only.
    let group = addr("ff02::12");
    assert!(entries.iter().filter(|entry| entry.dst == group).all(|entry| entry.src.to_string().starts_with("fe80")));
    // Groups: (peers and me) x (v4, link-local v6); unicast: two peers, three scopes, two directions.
    assert_eq!(entries.len(), 3 * 2 + 2 * 3 * 2);
}

#[test]
fn g0_a_tcp_channel_is_open_both_ways_and_for_replies() {
    let entries = entries("haproxy-peers");
    assert_eq!(entries.len(), 2 * 3 * 4);
    for matching in [PortMatch::Dst(10000), PortMatch::Src(10000)] {
        assert!(entries.contains(&entry(CLUSTER, Direction::Ingress, 6, matching, "10.77.0.2", "10.77.0.1")));
        assert!(entries.contains(&entry(CLUSTER, Direction::Egress, 6, matching, "10.77.0.1", "10.77.0.2")));
    }
}

#[test]
fn g0_other_channels_of_the_catalogue_have_their_wire() {
    let ports = |name: &str| -> BTreeSet<(u8, PortMatch, Option<u8>)> {
        entries(name).into_iter().map(|entry| (entry.protocol, entry.matching, entry.ttl)).collect()
    };
    let udp = |port| (17, PortMatch::Dst(port), None);
    let tcp = |port| [(6, PortMatch::Dst(port), None), (6, PortMatch::Src(port), None)];
    assert_eq!(ports("conntrackd"), BTreeSet::from([udp(3780)]));
    assert_eq!(ports("ipvs-sync"), BTreeSet::from([(17, PortMatch::Dst(8848), Some(1))]));
    assert_eq!(ports("vrrp-ah"), BTreeSet::from([(51, PortMatch::Any, Some(255))]));
    assert_eq!(ports("carp"), BTreeSet::from([(112, PortMatch::Any, Some(255))]));
    assert_eq!(ports("bfd"), BTreeSet::from([(17, PortMatch::Dst(3784), Some(255))]));
    assert_eq!(ports("corosync-udp"), BTreeSet::from([udp(5404), udp(5405)]));
    assert_eq!(ports("serf"), tcp(7946).into_iter().chain([udp(7946)]).collect());
    let consul = [8300, 8301, 8302].into_iter().flat_map(tcp).chain([udp(8301), udp(8302)]);
    assert_eq!(ports("consul"), consul.collect());
    let one_tcp = [
        ("pacemaker-remote", 3121),
        ("pcsd", 2224),
        ("qdevice", 5403),
        ("dlm", 21064),
        ("ssh-sync", 22),
        ("session-sync", 7777),
        ("conntrackd-tcp", 3780),
    ];
    for (name, port) in one_tcp {
        assert_eq!(ports(name), tcp(port).into(), "{name}");
    }
    let groups: BTreeSet<IpAddr> = entries("ipvs-sync")
        .into_iter()
        .chain(entries("conntrackd"))
        .map(|entry| entry.dst)
        .filter(IpAddr::is_multicast)
        .collect();
    assert_eq!(groups, [addr("224.0.0.81"), addr("225.0.0.50")].into());
}

#[test]
fn g0_management_comes_in_from_declared_addresses_and_nothing_goes_out_but_replies() {
    let entries = entries("management");
    assert_eq!(
        entries,
        [
            entry(CLUSTER, Direction::Ingress, 6, PortMatch::Dst(22), "10.77.0.200", "10.77.0.1"),
            entry(CLUSTER, Direction::Ingress, 6, PortMatch::Dst(22), "fd77::200", "fd77::1"),
            entry(CLUSTER, Direction::Egress, 6, PortMatch::Src(22), "10.77.0.1", "10.77.0.200"),
            entry(CLUSTER, Direction::Egress, 6, PortMatch::Src(22), "fd77::1", "fd77::200"),
        ]
    );
}

#[test]
fn g0_every_entry_is_between_members_or_from_one_to_a_group() {
    let guard = guard_with(&NAMES);
    let mine: BTreeSet<IpAddr> = interfaces(1).iter().flat_map(|one| &one.addresses).map(|net| net.addr()).collect();
    let others: BTreeSet<IpAddr> =
        [2, 3].map(member).iter().flat_map(|one| &one.addresses).map(|one| one.addr).collect();
    let operators = BTreeSet::from([addr("10.77.0.200"), addr("fd77::200")]);
    for entry in &guard.entries {
        let (near, far) = match entry.direction {
            Direction::Ingress => (entry.dst, entry.src),
            Direction::Egress => (entry.src, entry.dst),
        };
        let between = mine.contains(&near) && (others.contains(&far) || operators.contains(&far));
        let from_me = entry.direction == Direction::Egress && mine.contains(&near) && far.is_multicast();
        let from_peer = entry.direction == Direction::Ingress && others.contains(&far) && near.is_multicast();
        assert!(between || from_me || from_peer, "{entry:?}");
        assert!(!matches!(entry.matching, PortMatch::Src(_)) || entry.protocol == 6, "{entry:?}");
        assert!(entry.matching != PortMatch::Any || !matches!(entry.protocol, 6 | 17 | 132), "{entry:?}");
    }
}

#[test]
fn a_bare_syn_from_a_channels_port_is_no_reply() {
    let guard = guard_with(&["haproxy-peers"]);
    let seen = Seen {
        ifindex: CLUSTER,
        direction: Direction::Ingress,
        protocol: 6,
        src: addr("10.77.0.2"),
        dst: addr("10.77.0.1"),
        ttl: 64,
        src_port: 10000,
        dst_port: 22,
        opens: true,
    };
    assert_eq!(guard.judge(&seen), None);
    assert_eq!(guard.judge(&Seen { opens: false, ..seen }), Some(Judged::Sync));
    assert_eq!(guard.judge(&Seen { dst_port: 10000, src_port: 40000, ..seen }), Some(Judged::Sync));
}

#[test]
fn joiners_come_through_the_cluster_interface_only() {
    let guard = guard_with(&[]);
    assert!(guard.joins.iter().all(|join| join.ifindex == CLUSTER && join.port == PORT));
    // Two subnets that are not link-local, two directions.
    assert_eq!(guard.joins.len(), 4);
    let seen = Seen {
        ifindex: CLUSTER,
        direction: Direction::Ingress,
        protocol: 17,
        src: addr("10.77.0.99"),
        dst: addr("10.77.0.1"),
        ttl: 64,
        src_port: PORT,
        dst_port: PORT,
        opens: false,
    };
    assert_eq!(guard.judge(&seen), Some(Judged::Join));
    for miss in [
        Seen { src: addr("10.78.0.99"), ..seen },
        Seen { dst_port: 22, ..seen },
        Seen { ifindex: VIP, ..seen },
        Seen { protocol: 6, ..seen },
        Seen { dst: addr("10.77.0.255"), ..seen },
    ] {
        assert_eq!(guard.judge(&miss), None, "{miss:?}");
    }
}

#[test]
fn a_members_address_lives_on_one_interface() {
    let guard = guard_with(&[]);
    let seen = |ifindex, src| Seen {
        ifindex,
        direction: Direction::Ingress,
        protocol: 6,
        src: addr(src),
        dst: addr("203.0.113.1"),
        ttl: 64,
        src_port: 1,
        dst_port: 2,
        opens: true,
    };
    for (home, address) in [(CLUSTER, "10.77.0.2"), (VIP, "2001:db8::3"), (BACKEND, "192.168.9.1")] {
        for ifindex in [CLUSTER, VIP, BACKEND] {
            assert_eq!(guard.spoofs(&seen(ifindex, address)), ifindex != home, "{address} at {ifindex}");
            assert!(!guard.spoofs(&Seen { direction: Direction::Egress, ..seen(ifindex, address) }));
        }
    }
    assert!(!guard.spoofs(&seen(VIP, "198.51.100.1")) && !guard.spoofs(&seen(VIP, "fe80::77:2")));
    assert!(guard.spoof.iter().all(|entry| !entry.addr.to_string().starts_with("fe80")));
}

#[test]
fn g0_while_members_change_old_and_new_hold() {
    let before = guard_with(&["vrrp"]);
    let after = guard(node(1), &interfaces(1), &[channel("vrrp")], &[member(1), member(3), member(4)], PORT).unwrap();
    let union = before.union(&after).unwrap();
    assert!(union.entries.is_superset(&before.entries) && union.entries.is_superset(&after.entries));
    assert_eq!(union.entries.len(), (&before.entries | &after.entries).len());
    assert!(union.spoof.iter().any(|entry| entry.addr == addr("10.77.0.4")));
}

#[test]
fn g18_a_guard_past_its_capacity_is_refused() {
    let many = serde_json::json!({ "name": "x", "protocol": "tcp", "port": 1, "ports": 64 });
    let channel: Channel = serde_json::from_value(many).unwrap();
    let members: Vec<MemberRecord> = (1..=50).map(member).collect();
    let error = guard(node(1), &interfaces(1), &[channel], &members, PORT).unwrap_err();
    let needed = 49 * 3 * 4 * 64 + 49 * 3 * 2;
    assert_eq!(error, GuardError::Full { what: "guard entries", needed, available: GUARD_ENTRIES_MAX });
}

#[test]
fn channels_without_an_interface_or_a_port_are_named() {
    let only_cluster = &interfaces(1)[..1];
    let guarded = guard(node(1), only_cluster, &[channel("vrrp")], &[member(1), member(2)], PORT).unwrap();
    assert_eq!(guarded.unplaced, ["vrrp".to_owned()].into());
    let peers = catalogue("haproxy-peers").unwrap();
    let error = guard(node(1), only_cluster, &[peers], &[member(1), member(2)], PORT).unwrap_err();
    assert_eq!(error, GuardError::NoPort { channel: "haproxy-peers".to_owned() });
}

#[test]
fn g0_a_protocol_is_guarded_in_the_families_in_which_it_exists() {
    let families = |protocol: u8| -> (bool, bool) {
        let ping: Channel = serde_json::from_value(serde_json::json!({ "name": "x", "protocol": protocol })).unwrap();
        let guarded = guard(node(1), &interfaces(1), &[ping], &[member(1), member(2)], PORT).unwrap();
        let with = |v6: bool| guarded.entries.iter().any(|one| one.protocol == protocol && one.src.is_ipv6() == v6);
        (with(false), with(true))
    };
    assert_eq!([1, 58, 47, 253].map(families), [(true, false), (false, true), (true, true), (true, false)]);
    // With addresses of one family there may be nothing left.
    let ping: Channel = serde_json::from_value(serde_json::json!({ "name": "x", "protocol": 58 })).unwrap();
    let mut v4 = interfaces(1);
    v4.iter_mut().for_each(|interface| interface.addresses.retain(|net| net.addr().is_ipv4()));
    let guarded = guard(node(1), &v4, &[ping], &[member(1), member(2)], PORT).unwrap();
    assert_eq!(guarded.unplaced, ["x".to_owned()].into());
    let groups = serde_json::json!({ "name": "x", "protocol": 1, "group": "ff02::99" });
    let refused = serde_json::from_value::<Channel>(groups).unwrap_err().to_string();
    assert!(refused.contains("does not exist in the family of its groups"), "{refused}");
}

#[test]
fn channels_that_disagree_on_the_time_to_live_share_an_entry_without() {
    let loose: Channel = serde_json::from_value(
        serde_json::json!({ "name": "x", "protocol": 112, "group": "224.0.0.18", "interface": "vip" }),
    )
    .unwrap();
    let guarded = guard(node(1), &interfaces(1), &[loose, channel("vrrp")], &[member(1), member(2)], PORT).unwrap();
    let to_group: Vec<&GuardEntry> = guarded.entries.iter().filter(|entry| entry.dst == addr("224.0.0.18")).collect();
    assert_eq!(to_group.len(), 2);
    assert!(to_group.iter().all(|entry| entry.ttl.is_none()));
}
