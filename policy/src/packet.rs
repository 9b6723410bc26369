//! The part of a packet that policy looks at.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::model::protocol;

/// The addresses, protocol and ports of one packet: everything a rule can tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Source address.
    pub src: IpAddr,
    /// Destination address, always of the family of `src` in a real packet.
    pub dst: IpAddr,
    /// IP protocol number.
    pub protocol: u8,
    /// Source port of TCP, UDP and SCTP; 0 for all else.
    pub src_port: u16,
    /// Destination port of TCP, UDP and SCTP; `type << 8 | code` for ICMP and ICMPv6; 0 for all else.
    pub dst_port: u16,
}

/// Question and answer types of ICMP (RFC 792, RFC 950).
const ICMP_PAIRS: [(u8, u8); 4] = [(8, 0), (13, 14), (15, 16), (17, 18)];
/// Question and answer types of ICMPv6 (RFC 4443, RFC 4620).
const ICMPV6_PAIRS: [(u8, u8); 2] = [(128, 129), (139, 140)];

impl Flow {
    /// The tuple of a packet that goes the other way in the same conversation: addresses and ports exchanged; the type
    /// of an ICMP question becomes that of its answer, and the other way round.
    pub fn reverse(&self) -> Flow {
        let (src_port, dst_port) = match self.icmp_pairs() {
            Some(pairs) => (self.src_port, opposite(pairs, self.dst_port)),
            None => (self.dst_port, self.src_port),
        };
        Flow { src: self.dst, dst: self.src, protocol: self.protocol, src_port, dst_port }
    }

    /// Whether this packet can be the answer to one of the reversed tuple. An ICMP packet is one only when its type is
    /// an answer; of other protocols every packet can be (that a bare SYN of TCP is none, the tuple does not show).
    pub fn can_be_answer(&self) -> bool {
        match self.icmp_pairs() {
            Some(pairs) => pairs.iter().any(|(_, answer)| u16::from(*answer) == self.dst_port >> 8),
            None => true,
        }
    }

    fn icmp_pairs(&self) -> Option<&'static [(u8, u8)]> {
        match self.protocol {
            protocol::ICMP => Some(&ICMP_PAIRS),
            protocol::ICMPV6 => Some(&ICMPV6_PAIRS),
            _ => None,
        }
    }
}

fn opposite(pairs: &[(u8, u8)], word: u16) -> u16 {
    let [kind, code] = word.to_be_bytes();
    let turned = pairs.iter().find_map(|&(question, answer)| match kind {
        kind if kind == question => Some(answer),
        kind if kind == answer => Some(question),
        _ => None,
    });
    u16::from_be_bytes([turned.unwrap_or(kind), code])
}

impl fmt::Display for Flow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = protocol::name(self.protocol);
        write!(f, "{} -> {} ", self.src, self.dst)?;
        if protocol::has_ports(self.protocol) {
            write!(f, "{name}/{} (from port {})", self.dst_port, self.src_port)
        } else if protocol::has_icmp_types(self.protocol) {
            let [kind, code] = self.dst_port.to_be_bytes();
            write!(f, "{name} type {kind} code {code}")
        } else {
            write!(f, "{name}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(protocol: u8, src_port: u16, dst_port: u16) -> Flow {
        Flow { src: [192, 0, 2, 1].into(), dst: [198, 51, 100, 2].into(), protocol, src_port, dst_port }
    }

    #[test]
    fn reverse_exchanges_ports_and_icmp_types() {
        let tcp = flow(protocol::TCP, 40000, 443);
        assert_eq!((tcp.reverse().src_port, tcp.reverse().dst_port), (443, 40000));
        assert_eq!(tcp.reverse().reverse(), tcp);
        let ping = flow(protocol::ICMP, 0, 8 << 8);
        assert_eq!(ping.reverse().dst_port, 0);
        assert_eq!(ping.reverse().reverse(), ping);
        assert!(!ping.can_be_answer() && ping.reverse().can_be_answer());
        assert_eq!(flow(protocol::ICMPV6, 0, 128 << 8).reverse().dst_port, 129 << 8);
    }

    #[test]
    fn an_icmp_error_is_no_answer_to_a_tuple() {
        let unreachable = flow(protocol::ICMP, 0, 3 << 8 | 4);
        assert!(!unreachable.can_be_answer());
        assert_eq!(unreachable.reverse().dst_port, 3 << 8 | 4);
    }

    #[test]
    fn display_names_what_the_protocol_has() {
        assert_eq!(flow(6, 1, 443).to_string(), "192.0.2.1 -> 198.51.100.2 tcp/443 (from port 1)");
        assert_eq!(flow(1, 0, 0x0800).to_string(), "192.0.2.1 -> 198.51.100.2 icmp type 8 code 0");
        assert_eq!(flow(99, 0, 0).to_string(), "192.0.2.1 -> 198.51.100.2 protocol 99");
    }
}
