//! What traffic is for: protocol and ports.

use std::fmt;

use super::protocol;

/// A protocol and a range of its port words (see [`Flow::dst_port`](crate::Flow::dst_port)): ports of TCP, UDP, SCTP;
/// `type << 8 | code` of ICMP and ICMPv6; always `0..=65535` for a protocol without either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ports {
    /// IP protocol number.
    pub protocol: u8,
    /// First port word.
    pub first: u16,
    /// Last port word, at least `first`.
    pub last: u16,
}

impl Ports {
    /// Every packet of a protocol.
    pub fn all(protocol: u8) -> Ports {
        Ports { protocol, first: 0, last: u16::MAX }
    }

    /// Whether a packet of this protocol and port word is meant.
    pub fn contains(&self, protocol: u8, word: u16) -> bool {
        self.protocol == protocol && self.first <= word && word <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&protocol::name(self.protocol))?;
        let Ports { first, last, .. } = *self;
        if (first, last) == (0, u16::MAX) {
            return Ok(());
        }
        if protocol::has_icmp_types(self.protocol) {
            let [kind, code] = first.to_be_bytes();
            return if first == last { write!(f, " type {kind} code {code}") } else { write!(f, " type {kind}") };
        }
        if first == last { write!(f, "/{first}") } else { write!(f, "/{first}-{last}") }
    }
}

/// A named service of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    /// Unique in its segment.
    pub name: String,
    /// What it listens on.
    pub ports: Ports,
}

/// One thing that a rule's `services` or `icmp` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceMatch {
    /// For a service by name: the segment whose service it is, in which the *destination* must be (in ingress and in
    /// egress rules alike). `None` for ports written out in the rule.
    pub target: Option<usize>,
    /// Protocol and destination port word of the packet.
    pub ports: Ports,
}
