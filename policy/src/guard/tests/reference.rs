//! The guard against the words of G0, taken literally, on random packets.

use super::*;
use crate::{
    channel::{Ends, Wire},
    model::protocol::{self, TCP},
    sample::SplitMix64,
};

const ME: u64 = 1;
const PACKETS: usize = 200_000;

/// A sync flow: between members or from one to a group of the channel, at its interface, in its direction.
fn is_sync(seen: &Seen, channels: &[Channel], members: &[MemberRecord]) -> bool {
    let local = interfaces(ME);
    let Some(interface) = local.iter().find(|one| one.ifindex == seen.ifindex) else { return false };
    let wires =
        channels.iter().filter(|channel| channel.interface == interface.role).flat_map(|channel| &channel.wires);
    let of_role = |mine: bool| -> Vec<IpAddr> {
        let chosen = members.iter().filter(|member| (member.node == node(ME)) == mine);
        chosen.flat_map(|one| &one.addresses).filter(|one| one.role == interface.role).map(|one| one.addr).collect()
    };
    let (mine, theirs) = (of_role(true), of_role(false));
    wires.into_iter().any(|wire| wire_has(wire, seen, &mine, &theirs))
}

fn wire_has(wire: &Wire, seen: &Seen, mine: &[IpAddr], theirs: &[IpAddr]) -> bool {
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

/// All groups of the catalogue are IPv4's or link-local ones of IPv6.
fn speaks(source: IpAddr, group: IpAddr) -> bool {
    source.is_ipv4() == group.is_ipv4() && (group.is_ipv4() || is_link_local(source))
}

#[test]
fn g0_the_guard_says_yes_to_sync_flows_and_to_nothing_else() {
    let members = [member(1), member(2), member(3)];
    let channels: Vec<Channel> = NAMES.iter().map(|name| channel(name)).collect();
    let guard = guard_with(&NAMES);
    let own: Channel =
        serde_json::from_value(serde_json::json!({ "name": "own", "protocol": "udp", "port": PORT })).unwrap();
    let declared: Vec<Channel> = channels.into_iter().chain([own]).collect();
    let entries: Vec<GuardEntry> = guard.entries.iter().copied().collect();
    let mut random = SplitMix64::new(7);
    let (mut yes, mut no) = (0, 0);
    for _ in 0..PACKETS {
        let seen = near_an_entry(&mut random, &entries);
        let expected = is_sync(&seen, &declared, &members);
        assert_eq!(guard.judge(&seen) == Some(Judged::Sync), expected, "{seen:?}");
        *(if expected { &mut yes } else { &mut no }) += 1;
    }
    assert!(yes > PACKETS / 10 && no > PACKETS / 4, "{yes} yes, {no} no");
}

/// A packet of one entry, with some of its fields taken from another.
fn near_an_entry(random: &mut SplitMix64, entries: &[GuardEntry]) -> Seen {
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
