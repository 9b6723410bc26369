//! Near misses: a packet of an entry with one field changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::frame::{Packet, Segment};
use crate::{
    guard::{Direction, GuardEntry, LocalInterface, PortMatch},
    model::protocol::{self, TCP, UDP},
};

/// Each packet that misses the entry by one field, with the name of the field.
pub(super) fn misses(
    packet: &Packet,
    entry: &GuardEntry,
    interfaces: &[LocalInterface],
) -> Vec<(&'static str, Packet)> {
    let mut misses = vec![
        ("another source", Packet { src: neighbour(packet.src), ..*packet }),
        ("another destination", Packet { dst: neighbour(packet.dst), ..*packet }),
        ("another protocol", Packet { protocol: other_protocol(packet.protocol), ..*packet }),
        ("the other direction", Packet { direction: opposite(packet.direction), ..*packet }),
    ];
    match entry.matching {
        PortMatch::Any => {}
        PortMatch::Dst(wanted) => misses.push(("another port", Packet { dst_port: port(wanted), ..*packet })),
        PortMatch::Src(wanted) => {
            misses.push(("another port", Packet { src_port: port(wanted), ..*packet }));
            misses.push(("a bare SYN", Packet { segment: Segment::Opens, ..*packet }));
        }
        PortMatch::IcmpType(kind) => {
            misses.push(("another type", Packet { dst_port: u16::from(kind.wrapping_add(1)) << 8, ..*packet }));
        }
    }
    if let Some(ttl) = entry.ttl {
        let ttl = if ttl > 1 { ttl - 1 } else { ttl + 1 };
        misses.push(("another time to live", Packet { ttl, ..*packet }));
    }
    let elsewhere = interfaces.iter().map(|interface| interface.ifindex).filter(|&ifindex| ifindex != entry.ifindex);
    misses.extend(elsewhere.map(|ifindex| ("another interface", Packet { ifindex, ..*packet })));
    misses
}

/// An address beside this one, most likely of the same subnet.
pub(super) fn neighbour(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => IpAddr::V4(Ipv4Addr::from_bits(addr.to_bits() ^ 0x40)),
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() ^ 0x4000)),
    }
}

/// Another port than this.
pub(super) fn port(port: u16) -> u16 {
    if port == u16::MAX { 1 } else { port + 1 }
}

/// An address of the subnet other than `own`, and one outside; `None` if there is nothing outside, or nobody else inside.
pub(super) fn around(subnet: IpNet, own: IpAddr) -> Option<(IpAddr, IpAddr)> {
    let inside = flip(own, host_bit(subnet)?);
    let outside = flip(own, bits(own) - u32::from(subnet.prefix_len()).checked_sub(1)? - 1);
    Some((inside, outside))
}

/// A bit that addresses of the subnet may differ in, as a power of two: not the lowest where there are others.
fn host_bit(subnet: IpNet) -> Option<u32> {
    let hosts = u32::from(subnet.max_prefix_len() - subnet.prefix_len());
    hosts.checked_sub(1).map(|highest| highest.min(3))
}

fn bits(addr: IpAddr) -> u32 {
    if addr.is_ipv4() { 32 } else { 128 }
}

fn flip(addr: IpAddr, bit: u32) -> IpAddr {
    match addr {
        IpAddr::V4(addr) => IpAddr::V4(Ipv4Addr::from_bits(addr.to_bits() ^ 1 << bit)),
        IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() ^ 1 << bit)),
    }
}

/// A protocol that is taken apart in the same way, where there is one.
fn other_protocol(number: u8) -> u8 {
    match number {
        TCP => UDP,
        UDP => TCP,
        protocol::SCTP => UDP,
        // Nobody's, and in both families a protocol like any other (253 and 254 are extension headers to IPv6).
        252 => 251,
        _ => 252,
    }
}

fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::Ingress => Direction::Egress,
        Direction::Egress => Direction::Ingress,
    }
}
