//! Sync flows by the words of G0, taken literally and slowly, and packets and channels to ask about: the reference for the guard in every form.

use std::net::IpAddr;

use identity::{MemberRecord, NodeId, Role};

use super::SplitMix64;
use crate::{
    channel::{Channel, ChannelSpec, Ends, ProtocolSpec, Wire},
    guard::{Direction, GuardEntry, LocalInterface, PortMatch, Seen},
    model::protocol::{self, TCP},
};

/// What the guard of one node may speak of.
#[derive(Debug, Clone, Copy)]
pub struct SyncWorld<'a> {
    /// The node.
    pub me: NodeId,
    /// Its interfaces.
    pub interfaces: &'a [LocalInterface],
    /// The channels declared, the cluster's own included.
    pub channels: &'a [Channel],
    /// The committed members.
    pub members: &'a [MemberRecord],
}

impl SyncWorld<'_> {
    /// A sync flow: between members or from one to a group of the channel, at its interface, in its direction.
    pub fn is_sync_flow(&self, seen: &Seen) -> bool {
        let Some(interface) = self.interfaces.iter().find(|one| one.ifindex == seen.ifindex) else { return false };
        let channels = self.channels.iter().filter(|channel| channel.interface == interface.role);
        let (mine, theirs) = (self.addresses(interface.role, true), self.addresses(interface.role, false));
        channels.flat_map(|channel| &channel.wires).any(|wire| wire_has(wire, seen, &mine, &theirs))
    }

    fn addresses(&self, role: Role, mine: bool) -> Vec<IpAddr> {
        let chosen = self.members.iter().filter(|member| (member.node == self.me) == mine);
        chosen.flat_map(|one| &one.addresses).filter(|one| one.role == role).map(|one| one.addr).collect()
    }
}

fn wire_has(wire: &Wire, seen: &Seen, mine: &[IpAddr], theirs: &[IpAddr]) -> bool {
    if !protocol::is_of_family(seen.protocol, seen.src.is_ipv6()) {
        return false;
    }
    if wire.protocol != seen.protocol || wire.ttl.is_some_and(|ttl| ttl != seen.ttl) {
        return false;
    }
    let to =
        wire.ports.map_or(!protocol::has_ports(wire.protocol), |span| span.ports().any(|port| port == seen.dst_port));
    let from = wire.protocol == TCP
        && !seen.opens
        && wire.ports.is_some_and(|span| span.ports().any(|port| port == seen.src_port));
    let arrives = seen.direction == Direction::Ingress;
    let (near, far) = if arrives { (seen.dst, seen.src) } else { (seen.src, seen.dst) };
    match &wire.ends {
        Ends::From(clients) if arrives => to && mine.contains(&near) && clients.contains(&far) && alike(near, far),
        Ends::From(clients) => from && mine.contains(&near) && clients.contains(&far) && alike(near, far),
        Ends::Members { groups, unicast } => {
            let direct = *unicast && mine.contains(&near) && theirs.contains(&far) && alike(near, far);
            let source = if arrives { theirs.contains(&seen.src) } else { mine.contains(&seen.src) };
            let group = groups.contains(&seen.dst) && source && speaks(seen.src, seen.dst);
            direct && (to || from) || group && to
        }
    }
}

fn is_link_local(addr: IpAddr) -> bool {
    addr.to_string().starts_with("fe80")
}

fn alike(one: IpAddr, other: IpAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && is_link_local(one) == is_link_local(other)
}

/// To groups of interface and link scope IPv6 speaks from link-local addresses, to wider ones from the others.
fn speaks(source: IpAddr, group: IpAddr) -> bool {
    let narrow = group.to_string().starts_with("ff01") || group.to_string().starts_with("ff02");
    source.is_ipv4() == group.is_ipv4() && (group.is_ipv4() || is_link_local(source) == narrow)
}

/// A packet of one entry, with some of its fields taken from another.
pub fn near_an_entry(random: &mut SplitMix64, entries: &[GuardEntry]) -> Seen {
    let (one, other) = (*random.pick(entries), *random.pick(entries));
    let mut from = |times: usize| if random.once_in(times) { other } else { one };
    let (place, direction, proto, ports) = (from(8), from(8), from(8), from(8));
    let (src, dst, ttl) = (from(8).src, from(8).dst, from(8).ttl);
    let (src_port, dst_port) = match ports.matching {
        PortMatch::Dst(port) => (random.word(), port),
        PortMatch::Src(port) => (port, random.word()),
        PortMatch::Any | PortMatch::IcmpType(_) => (random.word(), random.word()),
    };
    Seen {
        ifindex: place.ifindex,
        direction: direction.direction,
        protocol: proto.protocol,
        src,
        dst,
        ttl: ttl.unwrap_or(if random.once_in(2) { 64 } else { 255 }),
        src_port,
        dst_port,
        opens: proto.protocol == TCP && random.once_in(3),
    }
}

/// Channels as an operator might declare them: any protocol, with and without groups of either family.
pub fn random_channels(random: &mut SplitMix64, count: usize) -> Vec<Channel> {
    (0..count).map(|number| random_channel(random, number)).collect()
}

fn random_channel(random: &mut SplitMix64, number: usize) -> Channel {
    loop {
        let protocol = if random.once_in(2) { *random.pick(&[TCP, 17, 132, 112, 1, 58]) } else { random.byte() };
        let groups: Vec<IpAddr> = match random.below(4) {
            0 => vec!["224.0.0.99".parse().expect("an address"), "ff02::99".parse().expect("an address")],
            1 => vec!["ff05::99".parse().expect("an address")],
            _ => Vec::new(),
        };
        let has_ports = protocol::has_ports(protocol);
        let spec = ChannelSpec {
            name: format!("random-{number}"),
            interface: Some(*random.pick(&[Role::Cluster, Role::Vip])),
            protocol: Some(ProtocolSpec::Number(protocol)),
            port: has_ports.then(|| *random.pick(&[22, 443, 3780, 8848])),
            ports: (has_ports && random.once_in(3)).then_some(3),
            unicast: random.once_in(2).then_some(true),
            ttl: random.once_in(3).then(|| *random.pick(&[1, 64, 255])),
            groups,
            ..ChannelSpec::default()
        };
        // What is refused, TCP to a group say, is drawn again.
        if let Ok(channel) = Channel::try_from(spec) {
            return channel;
        }
    }
}
