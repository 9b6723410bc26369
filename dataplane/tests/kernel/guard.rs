//! G0: whatever the policy says, sync flows between members pass, and nothing else does because of them.

use std::{
    io::{Read, Write},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use dataplane::{Enforcer, Hook, HookState, Kernel, PrepareError, Reason, TcMode, XdpMode};
use identity::Role;
use policy::{Direction, Guard, Image, Obligation, obligations};

use crate::lab::{self, HERE_V4, HERE_V6, Lab, THERE, THERE_V4, THERE_V6, activate, deny_all, ifindex};
pub(crate) use crate::shared::members::{CLUSTER_PORT, guard_of, member};

/// Two members and deny-all.
pub(crate) struct Guarded {
    pub(crate) lab: Lab,
    /// There until a test takes it.
    pub(crate) kernel: Option<Kernel>,
    pub(crate) guard: Guard,
    /// What must be proven of every revision.
    pub(crate) owed: Vec<Obligation>,
}

/// Two members, deny-all in force after every obligation was proven.
pub(crate) fn guarded() -> Guarded {
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let interfaces = vec![lab.interface(Role::Cluster)];
    let guard = guard_of(&interfaces, &[member(1, &[HERE_V4, HERE_V6]), member(2, &[THERE_V4, THERE_V6])]);
    kernel.set_guard(&guard).unwrap();
    let owed = obligations(&guard, &interfaces);
    assert!(owed.len() > 50, "{} obligations", owed.len());
    let prepared = kernel.prepare(1, &deny_all(), &owed).unwrap();
    assert_eq!(prepared.proven, owed.len());
    kernel.activate(prepared).unwrap();
    Guarded { lab, kernel: Some(kernel), guard, owed }
}

#[test]
fn g0_sync_flows_pass_under_deny_all_and_nothing_else_does() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab, kernel, .. } = guarded();
    let mut kernel = kernel.unwrap();
    assert!(lab::silent(THERE_V4));
    // A TCP channel, in the direction in which the peer connects.
    let listener = TcpListener::bind((HERE_V4, 10_000)).unwrap();
    let echo = lab.at_peer(|| {
        let mut stream =
            TcpStream::connect_timeout(&(HERE_V4.parse::<IpAddr>().unwrap(), 10_000).into(), Duration::from_secs(10));
        let stream = stream.as_mut().unwrap();
        stream.write_all(b"sync").unwrap();
        true
    });
    let mut bytes = [0; 4];
    listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
    assert!(echo && &bytes == b"sync");
    // A port beside it is none.
    let _other = TcpListener::bind((HERE_V4, 10_001)).unwrap();
    let refused = lab.at_peer(|| {
        TcpStream::connect_timeout(&(HERE_V4.parse::<IpAddr>().unwrap(), 10_001).into(), Duration::from_millis(300))
            .is_err()
    });
    assert!(refused);
    // The cluster's own port.
    let here = UdpSocket::bind((HERE_V4, CLUSTER_PORT)).unwrap();
    here.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    lab.at_peer(|| {
        let there = UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap();
        there.send_to(b"gossip", (HERE_V4, CLUSTER_PORT)).unwrap();
    });
    let mut bytes = [0; 16];
    assert_eq!(here.recv(&mut bytes).unwrap(), 6);
    let counters = kernel.counters();
    assert!(counters.reason(Direction::Ingress, Reason::Guard).packets >= 4);
    assert!(counters.reason(Direction::Ingress, Reason::Denied).packets >= 1);
}

#[test]
fn g0_vrrp_passes_by_protocol_number_and_only_with_its_time_to_live() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab, kernel, .. } = guarded();
    let mut kernel = kernel.unwrap();
    lab.there(&format!("ip route add 224.0.0.0/4 dev {THERE}"));
    let sent = |ttl: u32| {
        lab.at_peer(|| {
            use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, sendto, socket, sockopt};
            let vrrp = Protocol::from_raw(112.try_into().unwrap());
            let socket: std::os::fd::OwnedFd =
                socket(AddressFamily::INET, SocketType::RAW, Some::<Protocol>(vrrp)).unwrap();
            sockopt::set_ip_multicast_ttl(&socket, ttl).unwrap();
            let group: std::net::SocketAddr = "224.0.0.18:0".parse().unwrap();
            sendto(&socket, &[0x31, 51, 100, 1, 0, 10, 0, 0], SendFlags::empty(), &group).unwrap();
        });
    };
    let guarded = |kernel: &mut Kernel| kernel.counters().reason(Direction::Ingress, Reason::Guard).packets;
    let before = guarded(&mut kernel);
    sent(255);
    assert_eq!(guarded(&mut kernel), before + 1, "{:?}", lab::seen(&mut kernel));
    sent(254);
    assert_eq!(guarded(&mut kernel), before + 1);
}

#[test]
fn g0_a_revision_under_which_a_sync_flow_would_not_pass_is_not_activated() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab: _lab, kernel, guard, owed } = guarded();
    let mut kernel = kernel.unwrap();
    let live = kernel.active();
    // The guard loses an entry behind the back of the one who proves.
    let mut less = guard.clone();
    let lost = *less.entries.iter().next().unwrap();
    less.entries.remove(&lost);
    kernel.set_guard(&less).unwrap();
    let refused = kernel.prepare(2, &Image::empty_allow(), &owed);
    assert!(matches!(refused, Err(PrepareError::Obligation { expected: "a yes of the guard", .. })), "{refused:?}");
    // And has one too many: a near miss passes.
    let mut more = guard.clone();
    for entry in &guard.entries {
        let mut wide = *entry;
        wide.ttl = None;
        more.entries.insert(wide);
    }
    kernel.set_guard(&more).unwrap();
    let refused = kernel.prepare(2, &Image::empty_allow(), &owed);
    assert!(matches!(refused, Err(PrepareError::Obligation { expected: "no yes of the guard", .. })), "{refused:?}");
    assert_eq!(kernel.active(), live);
    kernel.set_guard(&guard).unwrap();
    kernel.prepare(2, &Image::empty_allow(), &owed).unwrap();
}

#[test]
fn a_members_address_on_another_interface_is_dropped() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab: _lab, kernel, mut guard, .. } = guarded();
    let mut kernel = kernel.unwrap();
    activate(&mut kernel, 2, &Image::empty_allow());
    let flow = policy::Flow {
        src: THERE_V4.parse().unwrap(),
        dst: HERE_V4.parse().unwrap(),
        protocol: 6,
        src_port: 40_000,
        dst_port: 80,
    };
    let frame = dataplane::testing::frame_of(&flow, 2);
    let hook = Hook { ifindex: ifindex(lab::HERE), direction: Direction::Ingress };
    assert_eq!(kernel.judge(hook, &frame).unwrap().reason, Reason::Allowed);
    assert!(!guard.spoof.is_empty());
    for entry in &mut guard.spoof {
        entry.ifindex_allowed += 1;
    }
    kernel.set_guard(&guard).unwrap();
    assert_eq!(kernel.judge(hook, &frame).unwrap().reason, Reason::Spoofed);
}

#[test]
fn joiners_are_let_in_at_a_bounded_rate() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab, kernel, .. } = guarded();
    let mut kernel = kernel.unwrap();
    let _here = UdpSocket::bind((HERE_V4, CLUSTER_PORT)).unwrap();
    lab.there(&format!("ip addr add 10.77.0.99/24 dev {THERE}"));
    lab.at_peer(|| {
        let joiner = UdpSocket::bind(("10.77.0.99", 50_000)).unwrap();
        for _ in 0..10_000 {
            joiner.send_to(b"join", (HERE_V4, CLUSTER_PORT)).unwrap();
        }
    });
    let counters = kernel.counters();
    let joined = counters.reason(Direction::Ingress, Reason::Join).packets;
    let denied = counters.reason(Direction::Ingress, Reason::Denied).packets;
    assert!(joined >= 1 && denied >= 1, "{joined} joined, {denied} denied");
    assert!(joined <= 9_000, "{joined} packets of a joiner passed");
}

#[test]
fn g0_under_tcx_the_guard_has_a_program_of_its_own_before_the_policys() {
    if lab::skipped_without_tcx() {
        return;
    }
    let bed = guarded();
    drop(bed.kernel);
    let mut kernel = Kernel::open(lab::config(&bed.lab, XdpMode::Off, TcMode::Auto)).unwrap();
    let links = bed.lab.bpffs.join("hedgerow/links").join(format!("{}-{}", ifindex(lab::HERE), lab::HERE));
    let mut names: Vec<_> =
        std::fs::read_dir(&links).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["tcx-egress", "tcx-ingress"]);
    let here = UdpSocket::bind((HERE_V4, CLUSTER_PORT)).unwrap();
    here.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let send = |count: u64| {
        bed.lab.at_peer(|| {
            let there = UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap();
            (0..count).for_each(|_| assert_eq!(there.send_to(b"gossip", (HERE_V4, CLUSTER_PORT)).unwrap(), 6));
        });
        (0..count).for_each(|_| assert_eq!(here.recv(&mut [0; 16]).unwrap(), 6));
    };
    let guarded = |kernel: &mut Kernel| kernel.counters().reason(Direction::Ingress, Reason::Guard).packets;
    let before = guarded(&mut kernel);
    send(10);
    assert_eq!(guarded(&mut kernel), before + 10, "each is judged once");
    let maps = std::fs::read_dir(bed.lab.bpffs.join("hedgerow/maps")).unwrap().next().unwrap().unwrap().path();
    let without_policy = format!("bpftool map delete pinned {} key 0 0 0 0", maps.join("hr_policy").display());
    let detached = format!("bpftool link detach pinned {}", links.join("tcx-ingress").display());
    for (taken_away, guards) in [(without_policy, true), (detached, false)] {
        let before = guarded(&mut kernel);
        lab::run(&taken_away);
        send(5);
        let now = guarded(&mut kernel);
        assert_eq!(now - before, if guards { 5 } else { 0 }, "{taken_away}");
        let states: Vec<_> = kernel.check_hooks().unwrap().into_iter().map(|status| status.state).collect();
        assert_eq!(states, [HookState::Repaired, HookState::Attached], "{taken_away}");
        send(5);
        assert_eq!(guarded(&mut kernel), now + 5, "{taken_away}");
    }
}
