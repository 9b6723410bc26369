//! Link support, shown on each interface in both directions: without it VRRP does not fail over.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{
    Proof,
    frame::{Packet, Segment},
};
use crate::{
    guard::{
        Direction, LINK_ICMPV6_MLD, LINK_ICMPV6_NEIGHBOUR, LINK_IGMP_TTL, LINK_MLD_HOP_LIMIT, LINK_NEIGHBOUR_HOP_LIMIT,
        LocalInterface,
    },
    model::protocol::ICMPV6,
};

const IGMP: u8 = 2;
/// Where VRRP's group is reported.
const GROUP_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18));
/// All nodes of the link.
const GROUP_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1));
/// Nobody's addresses (RFC 5737; any link-local one).
const SOURCE_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 77));
const OTHER_V4: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 78));
const SOURCE_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x77));

/// An echo request: ICMPv6, but not of the link.
const ECHO_REQUEST: u8 = 128;

pub(super) fn prove(proof: &mut Proof<'_>, interface: &LocalInterface) {
    for direction in [Direction::Ingress, Direction::Egress] {
        let place = format!("at {direction} of {}", interface.name);
        let packet = |protocol, src, dst, ttl, kind: u8| Packet {
            ifindex: interface.ifindex,
            direction,
            protocol,
            src,
            dst,
            ttl,
            src_port: 0,
            dst_port: u16::from(kind) << 8,
            segment: Segment::Continues,
        };
        let igmp = packet(IGMP, SOURCE_V4, GROUP_V4, LINK_IGMP_TTL, 0);
        proof.must_pass(&igmp, &format!("a group's membership report (IGMP) {place}"));
        proof.near_miss(&Packet { ttl: LINK_IGMP_TTL + 1, ..igmp }, &format!("IGMP with another time to live {place}"));
        proof.near_miss(&Packet { dst: OTHER_V4, ..igmp }, &format!("IGMP to one host {place}"));
        let icmp = |kind, ttl| packet(ICMPV6, SOURCE_V6, GROUP_V6, ttl, kind);
        for kind in LINK_ICMPV6_NEIGHBOUR {
            proof.must_pass(
                &icmp(kind, LINK_NEIGHBOUR_HOP_LIMIT),
                &format!("neighbour discovery (ICMPv6 {kind}) {place}"),
            );
            let far = icmp(kind, LINK_NEIGHBOUR_HOP_LIMIT - 1);
            proof.near_miss(&far, &format!("neighbour discovery (ICMPv6 {kind}) from beyond the link {place}"));
        }
        for kind in LINK_ICMPV6_MLD {
            proof.must_pass(&icmp(kind, LINK_MLD_HOP_LIMIT), &format!("listener discovery (ICMPv6 {kind}) {place}"));
            let far = icmp(kind, LINK_MLD_HOP_LIMIT + 1);
            proof.near_miss(&far, &format!("listener discovery (ICMPv6 {kind}) from beyond the link {place}"));
        }
        for ttl in [LINK_NEIGHBOUR_HOP_LIMIT, LINK_MLD_HOP_LIMIT] {
            proof.near_miss(&icmp(ECHO_REQUEST, ttl), &format!("an echo request with hop limit {ttl} {place}"));
        }
    }
}
