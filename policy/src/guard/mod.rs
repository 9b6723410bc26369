//! The guard: the list of packets that are sync flows, S(M) of G0, and of nothing else.
//!
//! A pure function of the committed members, of this node's interfaces and of the declared channels, never of policy. The kernel
//! asks it before anything else and a yes ends the matter; so an entry that is too wide is a hole, and one that is missing
//! is two masters. Link support (IGMP, neighbour discovery, MLD) is the same on every interface and is not listed by entry.

mod build;
mod judge;
mod link;

use std::{collections::BTreeSet, fmt, net::IpAddr};

use identity::Role;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

pub use build::guard;
pub use judge::{Judged, Seen};
pub use link::{LINK_ICMPV6_MLD, LINK_ICMPV6_NEIGHBOUR, LINK_IGMP_TTL, LINK_MLD_HOP_LIMIT, LINK_NEIGHBOUR_HOP_LIMIT};

/// Entries of a guard, at most: what the kernel map is sized for.
pub const GUARD_ENTRIES_MAX: usize = 32_768;
/// Entries for joiners, at most.
pub const JOIN_ENTRIES_MAX: usize = 64;
/// Entries against spoofing, at most.
pub const SPOOF_ENTRIES_MAX: usize = 4_096;
/// Interfaces that a guard speaks of, at most.
pub const GUARD_INTERFACES_MAX: usize = 64;
/// Packets a second that an interface accepts from the cluster's subnet at the port for joiners.
pub const JOIN_PACKETS_PER_SECOND_MAX: u32 = 1_000;

/// Which way a packet goes through an interface of this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// It arrives.
    Ingress,
    /// It leaves.
    Egress,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Direction::Ingress => "ingress",
            Direction::Egress => "egress",
        })
    }
}

/// What of the transport header an entry looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PortMatch {
    /// Nothing: every packet of the protocol.
    Any,
    /// The destination port.
    Dst(u16),
    /// The source port, and that the segment does not open a connection (SYN without ACK). TCP only.
    Src(u16),
    /// The type of an ICMP or ICMPv6 message.
    IcmpType(u8),
}

/// One exact kind of packet that is a sync flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardEntry {
    /// The interface.
    pub ifindex: u32,
    /// Arriving or leaving.
    pub direction: Direction,
    /// IP protocol number.
    pub protocol: u8,
    /// Ports or type.
    pub matching: PortMatch,
    /// The source address.
    pub src: IpAddr,
    /// The destination address; may be a multicast group.
    pub dst: IpAddr,
    /// The time to live or hop limit that the packet must have. A guard has no two entries that differ only here: where channels
    /// disagree, any is right.
    pub ttl: Option<u8>,
}

/// The door for a node that is not a member yet: the cluster's own UDP port, from the subnet of the cluster interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JoinEntry {
    /// The interface, of role cluster.
    pub ifindex: u32,
    /// Arriving: from `subnet` to `own`:`port`, at most [`JOIN_PACKETS_PER_SECOND_MAX`]. Leaving: from `own`:`port` to `subnet`.
    pub direction: Direction,
    /// This node's address.
    pub own: IpAddr,
    /// The subnet of that address.
    pub subnet: IpNet,
    /// The cluster's UDP port.
    pub port: u16,
}

/// A member's address and the only interface of this node at which packets from it may arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SpoofEntry {
    /// The address, never a link-local one.
    pub addr: IpAddr,
    /// Our interface in the network where the address lives.
    pub ifindex_allowed: u32,
}

/// An interface of this node to which programs are attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalInterface {
    /// The kernel's name of it.
    pub name: String,
    /// The kernel's number of it.
    pub ifindex: u32,
    /// What it is for.
    pub role: Role,
    /// Its addresses with their prefix lengths, link-local ones included.
    pub addresses: Vec<IpNet>,
}

/// Everything that the data path must know to keep G0 on this node.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Guard {
    /// The interfaces guarded: link support holds on each.
    pub interfaces: BTreeSet<u32>,
    /// The sync flows.
    pub entries: BTreeSet<GuardEntry>,
    /// The door for joiners.
    pub joins: BTreeSet<JoinEntry>,
    /// Where members' addresses may come from. One entry for an address.
    pub spoof: Vec<SpoofEntry>,
    /// Channels that have no entries here: declared for a role of which this node has no interface, or of a protocol that exists in no family
    /// of its addresses there.
    pub unplaced: BTreeSet<String>,
}

/// Why there is no guard. The one in force stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuardError {
    /// More entries than the kernel map holds.
    #[error(
        "the guard needs {needed} {what} and holds {available}; declare fewer channels or unicast peers, or use a multicast group; \
         the guard in force is unchanged"
    )]
    Full {
        /// The limit by name.
        what: &'static str,
        /// Entries asked for.
        needed: usize,
        /// Entries there are.
        available: usize,
    },
    /// A channel of the catalogue that has no port by custom, declared without one.
    #[error(
        "the channel \"{channel}\" has no customary port; declare it with `port = …`; the guard in force is unchanged"
    )]
    NoPort {
        /// The channel.
        channel: String,
    },
}

impl Guard {
    /// Both guards at once: what is in force while members or channels change (add before remove, G0). Where the two disagree on
    /// where an address lives, neither is held to.
    ///
    /// # Errors
    /// If the two together are more than the kernel holds; nothing has changed then.
    pub fn union(&self, other: &Guard) -> Result<Guard, GuardError> {
        let spoof: BTreeSet<SpoofEntry> = self.spoof.iter().chain(&other.spoof).copied().collect();
        let union = Guard {
            interfaces: &self.interfaces | &other.interfaces,
            entries: build::one_ttl(&self.entries | &other.entries),
            joins: &self.joins | &other.joins,
            spoof: build::unambiguous(&spoof),
            unplaced: &self.unplaced | &other.unplaced,
        };
        union.fits()?;
        Ok(union)
    }

    fn fits(&self) -> Result<(), GuardError> {
        let counts = [
            ("guard entries", self.entries.len(), GUARD_ENTRIES_MAX),
            ("joiner entries", self.joins.len(), JOIN_ENTRIES_MAX),
            ("anti-spoof entries", self.spoof.len(), SPOOF_ENTRIES_MAX),
            ("guarded interfaces", self.interfaces.len(), GUARD_INTERFACES_MAX),
        ];
        match counts.into_iter().find(|(_, needed, available)| needed > available) {
            Some((what, needed, available)) => Err(GuardError::Full { what, needed, available }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;
