//! Names of ICMP and ICMPv6 messages (IANA's).

use super::{Ports, protocol};

/// Type, and code if the name means only one.
type Message = (u8, Option<u8>);

/// Name, message of ICMP, message of ICMPv6.
pub const NAMES: [(&str, Option<Message>, Option<Message>); 13] = [
    ("echo-request", Some((8, None)), Some((128, None))),
    ("echo-reply", Some((0, None)), Some((129, None))),
    ("destination-unreachable", Some((3, None)), Some((1, None))),
    ("packet-too-big", Some((3, Some(4))), Some((2, None))),
    ("time-exceeded", Some((11, None)), Some((3, None))),
    ("parameter-problem", Some((12, None)), Some((4, None))),
    ("redirect", Some((5, None)), Some((137, None))),
    ("router-solicitation", Some((10, None)), Some((133, None))),
    ("router-advertisement", Some((9, None)), Some((134, None))),
    ("neighbor-solicitation", None, Some((135, None))),
    ("neighbor-advertisement", None, Some((136, None))),
    ("timestamp-request", Some((13, None)), None),
    ("timestamp-reply", Some((14, None)), None),
];

/// A type, or one code of it, of ICMP or ICMPv6.
pub fn message(protocol: u8, kind: u8, code: Option<u8>) -> Ports {
    let first = u16::from_be_bytes([kind, code.unwrap_or(0)]);
    let last = u16::from_be_bytes([kind, code.unwrap_or(u8::MAX)]);
    Ports { protocol, first, last }
}

/// What a name means in each family that has it; nothing for an unknown name.
pub fn named(name: &str) -> Vec<Ports> {
    let known = NAMES.iter().filter(|(known, _, _)| *known == name);
    known
        .flat_map(|(_, v4, v6)| [(protocol::ICMP, v4), (protocol::ICMPV6, v6)])
        .filter_map(|(protocol, known)| known.map(|(kind, code)| message(protocol, kind, code)))
        .collect()
}
