//! Link support: the protocols below without which addresses do not resolve and VRRP does not fail over. Open on every guarded
//! interface in both directions, as narrow as their RFCs allow. ARP is not IP and never comes this far.

use std::{net::IpAddr, ops::RangeInclusive};

/// IGMP is sent with this time to live (RFC 2236, section 2) and here to a multicast group.
pub const LINK_IGMP_TTL: u8 = 1;
/// Router and neighbour solicitation and advertisement (RFC 4861, section 4).
pub const LINK_ICMPV6_NEIGHBOUR: RangeInclusive<u8> = 133..=136;
/// The hop limit of those: nobody beyond the link can have sent them (RFC 4861, section 7.1).
pub const LINK_NEIGHBOUR_HOP_LIMIT: u8 = 255;
/// Multicast listener query, report, done (RFC 2710) and version 2 report (RFC 3810).
pub const LINK_ICMPV6_MLD: [u8; 4] = [130, 131, 132, 143];
/// The hop limit of those (RFC 3810, section 5).
pub const LINK_MLD_HOP_LIMIT: u8 = 1;

const PROTOCOL_IGMP: u8 = 2;
const PROTOCOL_ICMPV6: u8 = 58;

/// Whether a packet of this protocol, ICMP type, destination and time to live is link support.
pub(super) fn supports(protocol: u8, icmp_type: Option<u8>, dst: IpAddr, ttl: u8) -> bool {
    match (protocol, dst, icmp_type) {
        (PROTOCOL_IGMP, IpAddr::V4(group), _) => group.is_multicast() && ttl == LINK_IGMP_TTL,
        (PROTOCOL_ICMPV6, IpAddr::V6(_), Some(kind)) => {
            LINK_ICMPV6_NEIGHBOUR.contains(&kind) && ttl == LINK_NEIGHBOUR_HOP_LIMIT
                || LINK_ICMPV6_MLD.contains(&kind) && ttl == LINK_MLD_HOP_LIMIT
        }
        _ => false,
    }
}
