//! Sync channels: the conversations between load balancers that nothing may cut (G0), as declared by a node or by the cluster.

mod catalogue;
mod declare;

use std::net::IpAddr;

use identity::Role;
use serde::{Deserialize, Serialize};

pub use catalogue::{HEDGEROW, NAMES, catalogue};
pub use declare::{ChannelError, ChannelSpec, ProtocolSpec};

/// Ports that one wire of a channel may span (the kernel's IPVS synchronisation has up to 64 threads).
pub const WIRE_PORTS_MAX: u16 = 64;
/// Multicast groups, and addresses of who is not a member, of one channel.
pub const CHANNEL_ADDRESSES_MAX: usize = 64;

/// A channel: open between members, or from members to its groups, on the interfaces of one role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "ChannelSpec")]
pub struct Channel {
    /// Its name: one of the catalogue, or one that the operator chose.
    pub name: String,
    /// The role of the interfaces on which it is.
    pub interface: Role,
    /// What is spoken on it.
    pub wires: Vec<Wire>,
}

/// One protocol of a channel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Wire {
    /// IP protocol number.
    pub protocol: u8,
    /// Destination ports; for a protocol with ports (TCP, UDP, SCTP) only. `None` there: none is customary, so one must be declared.
    pub ports: Option<PortSpan>,
    /// The time to live or hop limit that every packet has, if the protocol fixes it.
    pub ttl: Option<u8>,
    /// Who speaks.
    pub ends: Ends,
}

/// Consecutive ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct PortSpan {
    /// The first.
    pub first: u16,
    /// How many, 1 to [`WIRE_PORTS_MAX`].
    pub count: u16,
}

/// Between whom a wire is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Ends {
    /// From each member to the groups, and between members one to one.
    Members {
        /// Multicast groups.
        groups: Vec<IpAddr>,
        /// Whether members also speak to each other directly.
        unicast: bool,
    },
    /// From these addresses, of nobody in particular, to a server on this node (TCP or UDP).
    From(Vec<IpAddr>),
}

impl PortSpan {
    /// One port.
    pub const fn one(port: u16) -> PortSpan {
        PortSpan { first: port, count: 1 }
    }

    /// Every port of the span.
    pub fn ports(self) -> impl Iterator<Item = u16> {
        (0..self.count).map_while(move |offset| self.first.checked_add(offset))
    }
}

#[cfg(test)]
mod tests;
