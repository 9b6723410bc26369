//! IP protocol numbers and their names.

use std::borrow::Cow;

/// ICMP for IPv4.
pub const ICMP: u8 = 1;
/// TCP.
pub const TCP: u8 = 6;
/// UDP.
pub const UDP: u8 = 17;
/// ICMP for IPv6.
pub const ICMPV6: u8 = 58;
/// SCTP.
pub const SCTP: u8 = 132;

/// Names that documents may use (IANA's, in lower case).
pub const NAMES: [(&str, u8); 15] = [
    ("icmp", ICMP),
    ("igmp", 2),
    ("ipip", 4),
    ("tcp", TCP),
    ("udp", UDP),
    ("dccp", 33),
    ("ipv6", 41),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("icmpv6", ICMPV6),
    ("ospf", 89),
    ("pim", 103),
    ("vrrp", 112),
    ("sctp", SCTP),
];

/// The name of a protocol, or `protocol N`.
pub fn name(number: u8) -> Cow<'static, str> {
    match NAMES.iter().find(|(_, known)| *known == number) {
        Some((name, _)) => Cow::Borrowed(name),
        None => Cow::Owned(format!("protocol {number}")),
    }
}

/// The protocol of a name; numbers are not names.
pub fn number(name: &str) -> Option<u8> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, number)| *number)
}

/// Whether a packet of this family can be one of the protocol, as the data path judges it. The ICMP of the other family is dropped as nonsense.
/// Of IPv6 extension headers are walked, and what is judged is the protocol behind them; those that are not walked (RFC 6275, 7401, 5533 and
/// RFC 3692's for experiments) are dropped.
pub fn is_of_family(number: u8, v6: bool) -> bool {
    if v6 { !matches!(number, ICMP | 0 | 43 | 44 | 60 | 135 | 139 | 140 | 253 | 254) } else { number != ICMPV6 }
}

/// Whether policy can tell ports of this protocol apart.
pub fn has_ports(number: u8) -> bool {
    matches!(number, TCP | UDP | SCTP)
}

/// Whether the port word of this protocol is a type and a code.
pub fn has_icmp_types(number: u8) -> bool {
    matches!(number, ICMP | ICMPV6)
}
