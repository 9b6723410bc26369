//! The built-in catalogue of channels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use identity::Role;

use super::{Channel, Ends, PortSpan, Wire};

/// The channel that is always on: Hedgerow's own.
pub const HEDGEROW: &str = "hedgerow";

/// Every name that [`catalogue`] knows. (`hedgerow` is not declared but built into every guard.)
pub const NAMES: [&str; 21] = [
    "bfd",
    "bfd-multihop",
    "booth",
    "carp",
    "conntrackd",
    "conntrackd-tcp",
    "consul",
    "corosync",
    "corosync-udp",
    "dlm",
    "haproxy-peers",
    "ipvs-sync",
    "management",
    "pacemaker-remote",
    "pcsd",
    "qdevice",
    "serf",
    "session-sync",
    "ssh-sync",
    "vrrp",
    "vrrp-ah",
];

const TCP: u8 = 6;
const UDP: u8 = 17;
const AH: u8 = 51;
const VRRP: u8 = 112;

/// VRRP's groups (RFC 5798, sections 5.1.1.2 and 5.1.2.2); CARP shares the first.
const VRRP_GROUP_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
const VRRP_GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12));
/// conntrackd's group by custom.
const CONNTRACKD_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(225, 0, 0, 50));
/// The group of the kernel's IPVS synchronisation.
const IPVS_GROUP: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));

/// The channel of this name as it is usually set up; [`NAMES`] lists them. What a node declares may change interface, ports, groups and peers.
pub fn catalogue(name: &str) -> Option<Channel> {
    let wires = match name {
        // Both unicast peers and groups; keepalived drops adverts with another TTL (RFC 5798, section 5.1.1.3).
        "vrrp" => vec![Wire { ttl: Some(255), ..to_groups(VRRP, None, &[VRRP_GROUP_V4, VRRP_GROUP_V6]) }],
        // Version 2 with `auth_type AH` is wrapped, and has the number of the wrapper.
        "vrrp-ah" => vec![Wire { ttl: Some(255), ..to_groups(AH, None, &[VRRP_GROUP_V4]) }],
        // The number of VRRP, another format: nothing looks into it.
        "carp" => vec![Wire { ttl: Some(255), ..to_groups(VRRP, None, &[VRRP_GROUP_V4]) }],
        "conntrackd" => vec![to_groups(UDP, Some(3780), &[CONNTRACKD_GROUP])],
        "conntrackd-tcp" => vec![unicast(TCP, 3780)],
        "ipvs-sync" => vec![Wire { ttl: Some(1), ..group_only(UDP, 8848, IPVS_GROUP) }],
        "haproxy-peers" => vec![Wire { ports: None, ..unicast(TCP, 0) }],
        // Link 0 of knet; further links are further channels on their own interfaces, with their ports.
        "corosync" => vec![unicast(UDP, 5405)],
        "corosync-udp" => vec![unicast(UDP, 5404), unicast(UDP, 5405)],
        "pacemaker-remote" => vec![unicast(TCP, 3121)],
        "pcsd" => vec![unicast(TCP, 2224)],
        "qdevice" => vec![unicast(TCP, 5403)],
        "dlm" => vec![unicast(TCP, 21064)],
        "booth" => vec![unicast(TCP, 9929), unicast(UDP, 9929)],
        // A single hop is proven by the TTL (RFC 5881, section 5); several hops are not.
        "bfd" => vec![Wire { ttl: Some(255), ..unicast(UDP, 3784) }],
        "bfd-multihop" => vec![unicast(UDP, 4784)],
        "ssh-sync" => vec![unicast(TCP, 22)],
        "session-sync" => vec![unicast(TCP, 7777)],
        "serf" => vec![unicast(TCP, 7946), unicast(UDP, 7946)],
        "consul" => {
            vec![unicast(TCP, 8300), unicast(TCP, 8301), unicast(UDP, 8301), unicast(TCP, 8302), unicast(UDP, 8302)]
        }
        // From nowhere until the operator says from where.
        "management" => vec![Wire { ends: Ends::From(Vec::new()), ..unicast(TCP, 22) }],
        _ => return None,
    };
    let interface = if matches!(name, "vrrp" | "vrrp-ah" | "carp") { Role::Vip } else { Role::Cluster };
    Some(Channel { name: name.to_owned(), interface, wires })
}

pub(crate) fn unicast(protocol: u8, port: u16) -> Wire {
    let ends = Ends::Members { groups: Vec::new(), unicast: true };
    Wire { protocol, ports: Some(PortSpan::one(port)), ttl: None, ends }
}

fn to_groups(protocol: u8, port: Option<u16>, groups: &[IpAddr]) -> Wire {
    let ends = Ends::Members { groups: groups.to_vec(), unicast: true };
    Wire { protocol, ports: port.map(PortSpan::one), ttl: None, ends }
}

fn group_only(protocol: u8, port: u16, group: IpAddr) -> Wire {
    let ends = Ends::Members { groups: vec![group], unicast: false };
    Wire { protocol, ports: Some(PortSpan::one(port)), ttl: None, ends }
}
