//! Derives the guard from members, interfaces and channels.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use identity::{MemberRecord, NodeId, Role};

use super::{Direction, Guard, GuardEntry, GuardError, JoinEntry, LocalInterface, PortMatch, SpoofEntry};
use crate::{
    channel::{Channel, Ends, HEDGEROW, PortSpan, Wire},
    model::protocol::is_of_family,
};

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

/// The guard of node `me`: the sync flows that touch it.
///
/// No entry is for a packet that cannot be: [`is_of_family`].
///
/// A flow is between this node's addresses on an interface and the other members' addresses of the same role, family and scope
/// (link-local or not). This node's addresses are those of its own record that are on the interface; without a record (it is not a member
/// yet) those of the interface. The channel `hedgerow`, at `cluster_port` on the interfaces of role cluster, is always there.
///
/// # Errors
/// If it does not fit the kernel's maps, or a channel lacks its port. The guard in force is not touched.
pub fn guard(
    me: NodeId,
    interfaces: &[LocalInterface],
    channels: &[Channel],
    members: &[MemberRecord],
    cluster_port: u16,
) -> Result<Guard, GuardError> {
    let mut guard = Guard { interfaces: interfaces.iter().map(|i| i.ifindex).collect(), ..Guard::default() };
    let own = hedgerow(cluster_port);
    for channel in channels.iter().chain([&own]) {
        let mut placed = false;
        for interface in interfaces.iter().filter(|interface| interface.role == channel.interface) {
            let link = Link {
                ifindex: interface.ifindex,
                own: own_addresses(me, interface, members),
                peers: peer_addresses(me, interface.role, members),
            };
            placed |= link.can_carry(channel);
            for wire in &channel.wires {
                link.open(channel, wire, &mut guard.entries)?;
            }
        }
        if !placed {
            guard.unplaced.insert(channel.name.clone());
        }
    }
    // A frame of another family's protocol is dropped as what it is: an entry for it could be shown to nobody.
    guard.entries.retain(|entry| is_of_family(entry.protocol, entry.src.is_ipv6()));
    guard.entries = one_ttl(guard.entries);
    guard.joins = joins(interfaces, cluster_port);
    guard.spoof = unambiguous(&spoof(interfaces, members));
    guard.fits()?;
    Ok(guard)
}

/// The channel of the cluster itself: QUIC.
fn hedgerow(port: u16) -> Channel {
    let ends = Ends::Members { groups: Vec::new(), unicast: true };
    let wire = Wire { protocol: PROTOCOL_UDP, ports: Some(PortSpan::one(port)), ttl: None, ends };
    Channel { name: HEDGEROW.to_owned(), interface: Role::Cluster, wires: vec![wire] }
}

fn own_addresses(me: NodeId, interface: &LocalInterface, members: &[MemberRecord]) -> Vec<IpAddr> {
    let here = interface.addresses.iter().map(|net| net.addr());
    match members.iter().find(|member| member.node == me) {
        None => here.collect(),
        Some(record) => here
            .filter(|addr| record.addresses.iter().any(|own| own.role == interface.role && own.addr == *addr))
            .collect(),
    }
}

fn peer_addresses(me: NodeId, role: Role, members: &[MemberRecord]) -> Vec<IpAddr> {
    let others = members.iter().filter(|member| member.node != me);
    others.flat_map(|member| &member.addresses).filter(|addr| addr.role == role).map(|addr| addr.addr).collect()
}

/// One interface and who is on it.
struct Link {
    ifindex: u32,
    own: Vec<IpAddr>,
    peers: Vec<IpAddr>,
}

impl Link {
    /// Whether one of the channel's protocols exists in a family of this node's addresses; without addresses there is no telling.
    fn can_carry(&self, channel: &Channel) -> bool {
        let fits = |own: &IpAddr| channel.wires.iter().any(|wire| is_of_family(wire.protocol, own.is_ipv6()));
        self.own.is_empty() || self.own.iter().any(fits)
    }

    fn open(&self, channel: &Channel, wire: &Wire, entries: &mut BTreeSet<GuardEntry>) -> Result<(), GuardError> {
        let matches: Vec<PortMatch> = match wire.ports {
            Some(span) => span.ports().map(PortMatch::Dst).collect(),
            None if crate::model::protocol::has_ports(wire.protocol) => {
                return Err(GuardError::NoPort { channel: channel.name.clone() });
            }
            None => vec![PortMatch::Any],
        };
        for matching in matches {
            match &wire.ends {
                Ends::Members { groups, unicast } => {
                    groups.iter().for_each(|group| self.open_group(wire, matching, *group, entries));
                    if *unicast {
                        self.open_unicast(wire, matching, entries);
                    }
                }
                Ends::From(from) => self.open_server(wire, matching, from, entries),
            }
        }
        Ok(())
    }

    fn open_group(&self, wire: &Wire, matching: PortMatch, group: IpAddr, entries: &mut BTreeSet<GuardEntry>) {
        let speaks = |source: &&IpAddr| may_send_to_group(**source, group);
        for peer in self.peers.iter().filter(speaks) {
            entries.insert(self.entry(wire, Direction::Ingress, matching, *peer, group));
        }
        for own in self.own.iter().filter(speaks) {
            entries.insert(self.entry(wire, Direction::Egress, matching, *own, group));
        }
    }

    /// Both ends may be client and server; a reply is told by its source port and, in TCP, by not opening.
    fn open_unicast(&self, wire: &Wire, matching: PortMatch, entries: &mut BTreeSet<GuardEntry>) {
        for own in &self.own {
            for peer in self.peers.iter().filter(|peer| same_scope(*own, **peer)) {
                for matching in both_ways(wire, matching) {
                    entries.insert(self.entry(wire, Direction::Ingress, matching, *peer, *own));
                    entries.insert(self.entry(wire, Direction::Egress, matching, *own, *peer));
                }
            }
        }
    }

    /// Only this node is the server, and nothing but its replies leaves.
    fn open_server(&self, wire: &Wire, matching: PortMatch, from: &[IpAddr], entries: &mut BTreeSet<GuardEntry>) {
        for own in &self.own {
            for client in from.iter().filter(|client| same_scope(*own, **client)) {
                entries.insert(self.entry(wire, Direction::Ingress, matching, *client, *own));
                if let (PROTOCOL_TCP, PortMatch::Dst(port)) = (wire.protocol, matching) {
                    entries.insert(self.entry(wire, Direction::Egress, PortMatch::Src(port), *own, *client));
                }
            }
        }
    }

    fn entry(&self, wire: &Wire, direction: Direction, matching: PortMatch, src: IpAddr, dst: IpAddr) -> GuardEntry {
        GuardEntry { ifindex: self.ifindex, direction, protocol: wire.protocol, matching, src, dst, ttl: wire.ttl }
    }
}

fn both_ways(wire: &Wire, matching: PortMatch) -> impl Iterator<Item = PortMatch> {
    let reply = match matching {
        PortMatch::Dst(port) if wire.protocol == PROTOCOL_TCP => Some(PortMatch::Src(port)),
        _ => None,
    };
    std::iter::once(matching).chain(reply)
}

/// Same family, and both link-local or neither.
fn same_scope(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && link_local(one) == link_local(other)
}

fn link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(addr) => addr.is_link_local(),
        IpAddr::V6(addr) => addr.is_unicast_link_local(),
    }
}

/// Sources of a group: any address of IPv4; of IPv6 link-local ones for a group of interface or link scope and the others for
/// wider ones (RFC 6724, section 5, rule 2).
fn may_send_to_group(source: IpAddr, group: IpAddr) -> bool {
    match (source, group) {
        (IpAddr::V4(_), IpAddr::V4(_)) => true,
        (IpAddr::V6(source), IpAddr::V6(group)) => source.is_unicast_link_local() == (group.octets()[1] & 0xf <= 2),
        _ => false,
    }
}

fn joins(interfaces: &[LocalInterface], port: u16) -> BTreeSet<JoinEntry> {
    let mut joins = BTreeSet::new();
    for interface in interfaces.iter().filter(|interface| interface.role == Role::Cluster) {
        for net in interface.addresses.iter().filter(|net| !link_local(net.addr())) {
            for direction in [Direction::Ingress, Direction::Egress] {
                let (own, subnet) = (net.addr(), net.trunc());
                joins.insert(JoinEntry { ifindex: interface.ifindex, direction, own, subnet, port });
            }
        }
    }
    joins
}

/// Where each member's addresses live: our interface of their role, and of their subnet if we have several of the role.
fn spoof(interfaces: &[LocalInterface], members: &[MemberRecord]) -> BTreeSet<SpoofEntry> {
    let mut entries = BTreeSet::new();
    for address in members.iter().flat_map(|member| &member.addresses).filter(|address| !link_local(address.addr)) {
        let of_role: Vec<&LocalInterface> = interfaces.iter().filter(|i| i.role == address.role).collect();
        let in_subnet = |i: &&&LocalInterface| i.addresses.iter().any(|net| net.contains(&address.addr));
        let homes: Vec<u32> = match of_role.as_slice() {
            [only] => vec![only.ifindex],
            several => several.iter().filter(in_subnet).map(|i| i.ifindex).collect(),
        };
        entries.extend(homes.into_iter().map(|ifindex_allowed| SpoofEntry { addr: address.addr, ifindex_allowed }));
    }
    entries
}

/// With one entry for each kind of packet: entries that differ only in their time to live become one that does not ask for it.
pub(super) fn one_ttl(entries: BTreeSet<GuardEntry>) -> BTreeSet<GuardEntry> {
    let mut ttls: BTreeMap<GuardEntry, Option<u8>> = BTreeMap::new();
    for entry in entries {
        let ttl = ttls.entry(GuardEntry { ttl: None, ..entry }).or_insert(entry.ttl);
        if *ttl != entry.ttl {
            *ttl = None;
        }
    }
    ttls.into_iter().map(|(entry, ttl)| GuardEntry { ttl, ..entry }).collect()
}

/// Without the addresses that live in more than one place: those cannot be held to one.
pub(super) fn unambiguous(entries: &BTreeSet<SpoofEntry>) -> Vec<SpoofEntry> {
    let mut homes: BTreeMap<IpAddr, usize> = BTreeMap::new();
    for entry in entries {
        *homes.entry(entry.addr).or_default() += 1;
    }
    entries.iter().filter(|entry| homes[&entry.addr] == 1).copied().collect()
}
