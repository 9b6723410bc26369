//! G0, layers 2 and 3: every channel that can be declared, through the kernel's programs, against the reference.

use std::net::IpAddr;

use dataplane::{Enforcer, Hook, Kernel, Reason, testing::frame_of};
use identity::{MemberAddress, MemberRecord, NodeId, Role};
use policy::{
    Channel, Direction, Flow, Guard, GuardEntry, LocalInterface, catalogue,
    channel::{ChannelSpec, Ends, NAMES, PortSpan, ProtocolSpec},
    guard::Seen,
    obligations,
    sample::{SplitMix64, SyncWorld, near_an_entry, random_channels},
};

use crate::{
    guard::CLUSTER_PORT,
    lab::{self, HERE, Lab, deny_all, ifindex},
};

/// Random memberships with random channels, and packets for each.
const WORLDS: u64 = 60;
const PACKETS_PER_WORLD: usize = 1_500;

/// Addresses of a node on the interface of a role: of both families, and a link-local one.
fn addresses(number: u64, role: Role) -> [String; 3] {
    match role {
        Role::Cluster => {
            [format!("10.77.0.{number}/24"), format!("fd77::{number}/64"), format!("fe80::77:{number}/64")]
        }
        _ => [format!("203.0.113.{number}/24"), format!("2001:db8::{number}/64"), format!("fe80::203:{number}/64")],
    }
}

fn interface(ifindex: u32, role: Role) -> LocalInterface {
    let addresses = addresses(1, role).iter().map(|net| net.parse().unwrap()).collect();
    LocalInterface { name: format!("{role}0"), ifindex, role, addresses }
}

/// The interface of the lab, and one beside it: programs are asked about any number.
fn interfaces() -> Vec<LocalInterface> {
    vec![interface(ifindex(HERE), Role::Cluster), interface(ifindex(HERE) + 1, Role::Vip)]
}

fn member(number: u64, families: impl Fn(&IpAddr) -> bool) -> MemberRecord {
    let mut record = crate::guard::member(number, &["192.0.2.1"]);
    record.addresses = [Role::Cluster, Role::Vip]
        .into_iter()
        .flat_map(|role| addresses(number, role).map(|net| (role, net.split('/').next().unwrap().parse().unwrap())))
        .filter(|(_, addr)| families(addr))
        .map(|(role, addr)| MemberAddress { role, addr })
        .collect();
    record
}

fn me() -> NodeId {
    NodeId::new(1).unwrap()
}

fn guard_of(channels: &[Channel], members: &[MemberRecord]) -> Guard {
    policy::guard(me(), &interfaces(), channels, members, CLUSTER_PORT).unwrap()
}

/// Proves a guard on a revision that denies everything, and makes it live.
fn prove(kernel: &mut Kernel, revision: u64, guard: &Guard, what: &str) -> usize {
    let owed = obligations(guard, &interfaces());
    kernel.set_guard(guard).unwrap();
    let prepared = kernel.prepare(revision, &deny_all(), &owed).unwrap_or_else(|error| panic!("{what}: {error}"));
    kernel.activate(prepared).unwrap();
    owed.len()
}

/// A channel of the catalogue on interfaces of a role, complete, and of both families where it has groups.
fn of_catalogue(name: &str, role: Role) -> Channel {
    let mut channel = Channel { interface: role, ..catalogue(name).unwrap() };
    for wire in &mut channel.wires {
        if name == "haproxy-peers" {
            wire.ports = Some(PortSpan::one(10_000));
        }
        match &mut wire.ends {
            Ends::From(from) => from.extend(["10.77.0.200", "fd77::200"].map(|a| a.parse::<IpAddr>().unwrap())),
            Ends::Members { groups, .. } if groups.iter().any(IpAddr::is_ipv4) => {
                groups.extend(["ff02::12:34", "ff05::12:34"].map(|a| a.parse::<IpAddr>().unwrap()));
            }
            Ends::Members { .. } => {}
        }
    }
    channel
}

#[test]
fn g0_every_channel_of_the_catalogue_passes_under_deny_all() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let members = [1, 2, 3].map(|number| member(number, |_| true));
    let both = |name: &str| [Role::Cluster, Role::Vip].map(|role| of_catalogue(name, role));
    for (revision, name) in NAMES.iter().enumerate() {
        let guard = guard_of(&both(name), &members);
        let proven = prove(&mut kernel, revision as u64 + 1, &guard, name);
        let built_in = guard_of(&[], &members);
        let own: Vec<&GuardEntry> = guard.entries.difference(&built_in.entries).collect();
        for ifindex in interfaces().iter().map(|one| one.ifindex) {
            for v6 in [false, true] {
                let has = own.iter().any(|one| one.ifindex == ifindex && one.src.is_ipv6() == v6);
                // Its clients are on the network of one role.
                assert!(has || *name == "management", "{name} at {ifindex}, IPv6 {v6}");
            }
        }
        assert!(proven > own.len(), "{name}: {proven} frames");
    }
    let all: Vec<Channel> = NAMES.iter().flat_map(|name| both(name)).collect();
    let frames = prove(&mut kernel, 100, &guard_of(&all, &members), "all channels");
    println!("{frames} frames for all channels together");
}

#[test]
fn g0_every_protocol_number_can_be_declared() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let members = [1, 2].map(|number| member(number, |_| true));
    for protocol in 0..=255 {
        let port = policy::model::protocol::has_ports(protocol).then_some(9_000);
        let spec = ChannelSpec {
            name: "declared".to_owned(),
            protocol: Some(ProtocolSpec::Number(protocol)),
            port,
            ..ChannelSpec::default()
        };
        let guard = guard_of(&[Channel::try_from(spec).unwrap()], &members);
        prove(&mut kernel, u64::from(protocol) + 1, &guard, &format!("protocol {protocol}"));
        for (v6, src, dst) in [(false, "10.77.0.2", "10.77.0.1"), (true, "fd77::2", "fd77::1")] {
            let (src, dst) = (src.parse().unwrap(), dst.parse().unwrap());
            let dst_port = port.unwrap_or(0x0800);
            let flow = Flow { src, dst, protocol, src_port: 40_000, dst_port };
            let hook = Hook { ifindex: ifindex(HERE), direction: Direction::Ingress };
            let mut ask = |flow: &Flow| kernel.judge(hook, &frame_of(flow, 0x02)).unwrap().reason;
            let exists = policy::model::protocol::is_of_family(protocol, v6);
            assert_eq!(ask(&flow) == Reason::Guard, exists, "protocol {protocol}, IPv6 {v6}: {}", ask(&flow));
            let other = Flow { protocol: if protocol == 252 { 251 } else { 252 }, ..flow };
            assert_eq!(ask(&other), Reason::Denied, "beside protocol {protocol}, IPv6 {v6}");
        }
    }
}

/// A frame that shows what is seen.
fn frame(seen: &Seen) -> Vec<u8> {
    let Seen { src, dst, protocol, src_port, dst_port, .. } = *seen;
    let flow = Flow { src, dst, protocol, src_port, dst_port };
    let mut frame = frame_of(&flow, if seen.opens { 0x02 } else { 0x10 });
    let at = if frame[12..14] == [0x08, 0x00] { 22 } else { 21 };
    frame[at] = seen.ttl;
    frame
}

#[test]
fn g0_the_kernels_guard_says_yes_to_sync_flows_and_to_nothing_else() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let interfaces = interfaces();
    let (mut yes, mut no) = (0, 0);
    for seed in 0..WORLDS {
        let mut random = SplitMix64::new(seed);
        let mut channels = random_channels(&mut random, 6);
        // Members of one family, of the other, of both.
        let families = random.below(4);
        let has = |addr: &IpAddr| families > 1 || addr.is_ipv6() == (families == 1);
        let members: Vec<MemberRecord> = (1..=2 + random.below(3) as u64).map(|number| member(number, has)).collect();
        let guard = guard_of(&channels, &members);
        prove(&mut kernel, seed + 1, &guard, &format!("seed {seed}"));
        let own = ChannelSpec {
            name: "own".to_owned(),
            protocol: Some(ProtocolSpec::Number(17)),
            port: Some(CLUSTER_PORT),
            ..ChannelSpec::default()
        };
        channels.push(Channel::try_from(own).unwrap());
        let world = SyncWorld { me: me(), interfaces: &interfaces, channels: &channels, members: &members };
        let entries: Vec<GuardEntry> = guard.entries.iter().copied().collect();
        for _ in 0..PACKETS_PER_WORLD {
            let seen = near_an_entry(&mut random, &entries);
            let hook = Hook { ifindex: seen.ifindex, direction: seen.direction };
            let reason = kernel.judge(hook, &frame(&seen)).unwrap().reason;
            let expected = world.is_sync_flow(&seen);
            assert_eq!(reason == Reason::Guard, expected, "seed {seed}: the kernel says {reason} to {seen:?}");
            *(if expected { &mut yes } else { &mut no }) += 1;
        }
    }
    println!("{yes} sync flows, {no} others");
    assert!(yes > 10_000 && no > 10_000, "{yes} yes, {no} no");
}
