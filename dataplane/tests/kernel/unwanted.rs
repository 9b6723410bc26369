//! What is attached and no longer wanted goes, once its successor is in its place. Filters of clsact stay until somebody removes them: no pin
//! and no process holds them.

use std::{net::UdpSocket, time::Duration};

use dataplane::{Enforcer, Kernel, KernelConfig, Reason, TcMode, XdpMode};
use identity::Role;
use policy::{Direction, LocalInterface};

use crate::{
    guard::{CLUSTER_PORT, Guarded, guarded},
    lab::{self, HERE, HERE_V4, Lab, THERE_V4, activate, deny_all, ifindex},
    streams::{Streams, image},
};

const OTHER: &str = "hr2";

/// Directions in which an interface has filters of ours.
fn filters(interface: &str) -> Vec<&'static str> {
    lab::filters(interface, "handle 0x485")
}

#[test]
fn g13_wherever_packets_are_judged_next_they_are_judged_once_and_at_every_moment() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab, kernel, guard, .. } = guarded();
    drop(kernel);
    let (by_xdp, not) = (XdpMode::Auto, XdpMode::Off);
    let mut ways = vec![(by_xdp, TcMode::Clsact), (not, TcMode::Clsact)];
    // To each from each.
    ways = [&ways[..], &[(not, TcMode::Auto)], &ways[..1], &[(by_xdp, TcMode::Auto)], &ways[1..], &ways[..1]].concat();
    let open = |(xdp, tc): (XdpMode, TcMode)| {
        let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
        kernel.set_guard(&guard).unwrap();
        assert_eq!(filters(HERE), lab::expected_filters(xdp, tc), "xdp {xdp:?}, tc {tc:?}");
        kernel
    };
    let here = UdpSocket::bind((HERE_V4, CLUSTER_PORT)).unwrap();
    here.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    for way in &ways[..3] {
        let mut kernel = open(*way);
        let mut guarded = || kernel.counters().reason(Direction::Ingress, Reason::Guard).packets;
        let before = guarded();
        lab.at_peer(|| {
            let there = UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap();
            there.send_to(b"gossip", (HERE_V4, CLUSTER_PORT)).unwrap();
        });
        here.recv(&mut [0; 16]).unwrap();
        assert_eq!(guarded(), before + 1, "{way:?}");
    }
    drop(here);
    activate(&mut open((not, TcMode::Clsact)), 2, &image(0));
    let streams = Streams::begin(&lab);
    for way in &ways {
        drop(open(*way));
        // What a driver has in its queue when XDP goes it may lose (`ptr_ring_cleanup` in drivers/net/veth.c).
        assert_eq!(streams.damage()[3], 0, "{way:?}");
    }
}

#[test]
fn an_interface_that_is_not_listed_any_more_keeps_no_filter() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    lab::run(&format!("ip link add {OTHER} type veth peer name hr3"));
    let here = lab.interface(Role::Cluster);
    let other =
        LocalInterface { name: OTHER.to_owned(), ifindex: ifindex(OTHER), role: Role::Vip, addresses: Vec::new() };
    let config = lab::config(&lab, XdpMode::Off, TcMode::Clsact);
    let open = |interfaces: &[LocalInterface]| {
        Kernel::open(KernelConfig { interfaces: interfaces.to_vec(), ..config.clone() }).unwrap()
    };
    let both = ["ingress", "egress"];
    let mut kernel = open(&[here.clone(), other]);
    activate(&mut kernel, 1, &deny_all());
    drop(kernel);
    assert_eq!([filters(HERE), filters(OTHER)], [both, both]);
    // It has another name by now; and a filter of somebody else, which is none of our business.
    lab::run(&format!("ip link set {OTHER} down && ip link set {OTHER} name hr4"));
    let program = lab.bpffs.join("hedgerow/progs/hr_egress");
    lab::run(&format!("tc filter add dev hr4 ingress prio 1 handle 7 bpf da object-pinned {}", program.display()));
    drop(open(std::slice::from_ref(&here)));
    assert_eq!(filters(HERE), both);
    assert_eq!(filters("hr4"), <[&str; 0]>::default());
    assert!(lab::output("tc filter show dev hr4 ingress").contains("handle 0x7 "));
    // One that is listed by another name is the same one.
    lab::run(&format!("ip link set {HERE} down && ip link set {HERE} name hr9 && ip link set hr9 up"));
    let mut kernel = open(&[LocalInterface { name: "hr9".to_owned(), ..here }]);
    assert_eq!(filters("hr9"), both);
    assert!(kernel.attest().unwrap().holds());
    kernel.detach_all().unwrap();
    assert_eq!(filters("hr9"), <[&str; 0]>::default());
}
