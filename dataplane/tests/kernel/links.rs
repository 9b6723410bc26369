//! Kinds of links: VLANs belong to the guard of their own device, and what carries no Ethernet is refused.

use std::net::UdpSocket;

use dataplane::{
    Attachment, Enforcer, Hook, HookState, Kernel, KernelConfig, OpenError, Reason, TcMode, XdpMode,
    testing::{flow_of, frame_of},
};
use identity::Role;
use policy::{Direction, LocalInterface};

use crate::{
    guard::{CLUSTER_PORT, Guarded, guard_of, guarded, member},
    lab::{self, HERE, HERE_V4, Lab, THERE, THERE_V4, activate, deny_all, ifindex},
    streams::{Streams, image},
};

const HERE_TAGGED: &str = "10.78.0.1";
const THERE_TAGGED: &str = "10.78.0.2";
/// Nobody, who is root in no file's eyes.
const NOBODY: libc::uid_t = 65_534;

fn refused(name: &str) -> String {
    let lab = Lab::new();
    lab::run(&format!("ip tuntap add dev {name} mode {}", &name[..3]));
    let interface =
        LocalInterface { name: name.to_owned(), ifindex: ifindex(name), role: Role::Vip, addresses: vec![] };
    let config = KernelConfig { interfaces: vec![interface], ..lab::config(&lab, XdpMode::Auto, TcMode::Auto) };
    match Kernel::open(config) {
        Err(OpenError::Attach(error)) => error.to_string(),
        Err(error) => panic!("{error}"),
        Ok(_) => String::new(),
    }
}

#[test]
fn an_interface_without_ethernet_headers_is_refused() {
    if lab::skipped() {
        return;
    }
    let error = refused("tun7");
    assert!(error.contains("tun7") && error.contains("no Ethernet header") && error.contains("65534"), "{error}");
    // The same driver with Ethernet, and a name like that of a VLAN: the pins' file system takes no dots.
    assert_eq!(refused("tap7"), "");
    assert_eq!(refused("tap.7"), "");
}

/// A VLAN, or one of a VLAN, on both ends, with addresses: the tags below `HERE`, outermost first. `None`, having said so, if this kernel has
/// no such devices.
fn tagged(lab: &Lab, tags: &[u16]) -> Option<LocalInterface> {
    let (mut here, mut there) = (HERE.to_owned(), THERE.to_owned());
    for tag in tags {
        if !lab::vlan(&here, *tag) {
            return None;
        }
        lab.there(&format!("ip link add link {there} name {there}.{tag} type vlan id {tag}"));
        (here, there) = (format!("{here}.{tag}"), format!("{there}.{tag}"));
        lab::run(&format!("ip link set {here} up"));
        lab.there(&format!("ip link set {there} up"));
    }
    lab::run(&format!("ip addr add {HERE_TAGGED}/24 dev {here}"));
    lab.there(&format!("ip addr add {THERE_TAGGED}/24 dev {there}"));
    let addresses = vec![format!("{HERE_TAGGED}/24").parse().unwrap()];
    Some(LocalInterface { ifindex: ifindex(&here), name: here, role: Role::Cluster, addresses })
}

/// Makes files of this thread's those of nobody; the kernel takes the capabilities to override that away with it.
fn without_dac_override() {
    // SAFETY: the identity for file access is of this thread alone, which ends with the test.
    unsafe { libc::setfsuid(NOBODY) };
    assert!(std::fs::metadata("/root").is_err() || std::fs::read_dir("/root").is_err());
}

#[test]
fn g0_a_tagged_sync_flow_belongs_to_its_vlan_also_without_the_right_to_read_everything() {
    a_sync_flow_belongs_to_the_device_of(&[5]);
}

#[test]
fn g0_a_sync_flow_with_two_tags_belongs_to_the_vlan_of_the_vlan() {
    a_sync_flow_belongs_to_the_device_of(&[5, 7]);
}

fn a_sync_flow_belongs_to_the_device_of(tags: &[u16]) {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let Some(vlan) = tagged(&lab, tags) else { return };
    let trunk = lab.interface(Role::Vip);
    let interfaces = vec![trunk.clone(), vlan];
    std::os::unix::fs::chown(&lab.bpffs, Some(NOBODY), None).unwrap();
    without_dac_override();
    let config = KernelConfig { interfaces: interfaces.clone(), ..lab::config(&lab, XdpMode::Auto, TcMode::Auto) };
    let mut kernel = Kernel::open(config).unwrap();
    let guard = guard_of(&interfaces, &[member(1, &[HERE_TAGGED]), member(2, &[THERE_TAGGED])]);
    kernel.set_guard(&guard).unwrap();
    activate(&mut kernel, 1, &deny_all());
    let trunk_ingress = kernel.attest().unwrap().hooks.into_iter().find(|status| status.hook.ifindex == trunk.ifindex);
    assert!(matches!(trunk_ingress.unwrap().attachment, Attachment::Tcx | Attachment::Clsact), "XDP does not see tags");
    let here = UdpSocket::bind((HERE_TAGGED, CLUSTER_PORT)).unwrap();
    here.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    let answered = lab.at_peer(|| {
        let there = UdpSocket::bind((THERE_TAGGED, CLUSTER_PORT)).unwrap();
        there.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        there.send_to(b"gossip", (HERE_TAGGED, CLUSTER_PORT)).unwrap();
        here.recv(&mut [0; 16]).unwrap();
        here.send_to(b"answer", (THERE_TAGGED, CLUSTER_PORT)).unwrap();
        there.recv(&mut [0; 16]).unwrap()
    });
    assert_eq!(answered, 6);
    assert!(lab::silent(THERE_TAGGED), "nothing else passes");
    let counters = kernel.counters();
    assert!(counters.reason(Direction::Ingress, Reason::Guard).packets >= 2, "once on each of the two devices");
    assert_eq!(counters.reason(Direction::Ingress, Reason::Spoofed).packets, 0);
    // Without its device it is nobody's.
    let sync = flow_of((THERE_TAGGED, CLUSTER_PORT), (HERE_TAGGED, CLUSTER_PORT), 17);
    let mut frame = frame_of(&sync, 0);
    frame.splice(12..12, tags.iter().flat_map(|tag| [0x8100, *tag]).flat_map(u16::to_be_bytes));
    let asked = |kernel: &mut Kernel| {
        let hook = Hook { ifindex: trunk.ifindex, direction: Direction::Ingress };
        kernel.judge(hook, &frame).unwrap().reason
    };
    assert_eq!(asked(&mut kernel), Reason::Guard);
    lab::run(&format!("ip link del {HERE}.5"));
    let _its_hooks_are_gone_too = kernel.check_hooks();
    assert_eq!(asked(&mut kernel), Reason::Spoofed);
}

/// Sends a frame out of a device of the peer's as it is.
fn transmit(lab: &Lab, device: &str, frame: &[u8]) {
    lab.at_peer(|| {
        // SAFETY: an address of zeros is valid; the call reads it and the frame, and is told how long both are.
        let sent = unsafe {
            let mut to: libc::sockaddr_ll = std::mem::zeroed();
            to.sll_family = u16::try_from(libc::AF_PACKET).unwrap();
            to.sll_ifindex = ifindex(device).cast_signed();
            let socket = libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0);
            let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).unwrap();
            let sent = libc::sendto(socket, frame.as_ptr().cast(), frame.len(), 0, (&raw const to).cast(), length);
            libc::close(socket);
            sent
        };
        assert_eq!(sent, frame.len().cast_signed(), "{}", std::io::Error::last_os_error());
    });
}

/// The kernel takes a tag off before traffic control sees the packet. A sync flow of the device itself has none but one of priority; whoever sends
/// with a tag, and there is no such VLAN here, sends with a member's address from where it does not live.
#[test]
fn g0_a_tag_that_the_kernel_has_taken_off_is_seen() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = Kernel::open(lab::config(&lab, XdpMode::Off, TcMode::Auto)).unwrap();
    let guard = guard_of(&[lab.interface(Role::Cluster)], &[member(1, &[HERE_V4]), member(2, &[THERE_V4])]);
    kernel.set_guard(&guard).unwrap();
    activate(&mut kernel, 1, &deny_all());
    let sync = frame_of(&flow_of((THERE_V4, CLUSTER_PORT), (HERE_V4, CLUSTER_PORT), 17), 0);
    let strange = frame_of(&flow_of(("198.51.100.7", 40_000), (HERE_V4, 443), 6), 2);
    let mut arrives = |frame: &[u8], tag: Option<u16>, reason: Reason| {
        let mut frame = frame.to_vec();
        let tag = tag.into_iter().flat_map(|tag| [0x8100, tag]);
        frame.splice(12..12, tag.flat_map(u16::to_be_bytes));
        let count = |kernel: &mut Kernel| kernel.counters().reason(Direction::Ingress, reason).packets;
        let before = count(&mut kernel);
        transmit(&lab, THERE, &frame);
        assert_eq!(count(&mut kernel), before + 1, "{reason}: {:?}", lab::seen(&mut kernel));
    };
    for (tag, of_sync) in [
        (None, Reason::Guard),
        (Some(5), Reason::Spoofed),
        (Some(3 << 13), Reason::Guard),
        (Some(3 << 13 | 5), Reason::Spoofed),
    ] {
        arrives(&sync, tag, of_sync);
        arrives(&strange, tag, Reason::Denied);
    }
}

/// A VLAN that is not listed: what has its tag is of no interface of the node, and the kernel takes the tag off before XDP looks. Where there is
/// such a device, traffic control judges what arrives. When one is made while the data path runs, nothing denied gets in; what the driver has in
/// its queue when XDP goes it may lose (`ptr_ring_cleanup` in drivers/net/veth.c).
#[test]
fn g0_the_tag_of_a_vlan_that_is_not_listed_is_seen() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab, kernel, guard, .. } = guarded();
    let mut kernel = kernel.unwrap();
    let (_, ingress) = ingress_of(&mut kernel);
    assert_eq!(ingress, Attachment::XdpNative);
    if !lab::vlan(HERE, 5) {
        return;
    }
    lab.there(&format!("ip link add link {THERE} name {THERE}.5 type vlan id 5"));
    lab.there(&format!("ip link set {THERE}.5 up"));
    lab::run(&format!("ip link set {HERE}.5 up"));
    activate(&mut kernel, 2, &image(0));
    let streams = Streams::begin(&lab);
    assert!(kernel.check_hooks().unwrap().iter().all(|status| status.state == HookState::Attached));
    assert_eq!(streams.damage()[3], 0);
    drop(streams);
    the_tag_is_seen(&lab, &mut kernel);
    // So it is when the device was there before, and it stays when that goes.
    drop(kernel);
    let mut kernel = lab::open(&lab);
    kernel.set_guard(&guard).unwrap();
    the_tag_is_seen(&lab, &mut kernel);
    lab::run(&format!("ip link del {HERE}.5"));
    assert!(kernel.check_hooks().unwrap().iter().all(|status| status.state == HookState::Attached));
    the_tag_is_seen(&lab, &mut kernel);
    drop(kernel);
    assert_eq!(ingress_of(&mut lab::open(&lab)).1, Attachment::XdpNative);
}

fn ingress_of(kernel: &mut Kernel) -> (Hook, Attachment) {
    let hooks = kernel.attest().unwrap().hooks;
    let ingress = hooks.into_iter().find(|status| status.hook.direction == Direction::Ingress).unwrap();
    (ingress.hook, ingress.attachment)
}

/// Whether a packet like one of a sync flow, with a tag, belongs to nobody.
fn the_tag_is_seen(lab: &Lab, kernel: &mut Kernel) {
    assert_eq!(ingress_of(kernel).1, lab::traffic_control());
    let sync = frame_of(&flow_of((THERE_V4, CLUSTER_PORT), (HERE_V4, CLUSTER_PORT), 17), 0);
    let mut counted = |device: &str, reason: Reason| {
        let before = kernel.counters().reason(Direction::Ingress, reason).packets;
        transmit(lab, device, &sync);
        kernel.counters().reason(Direction::Ingress, reason).packets - before
    };
    assert_eq!(counted(&format!("{THERE}.5"), Reason::Spoofed), 1, "it has a tag");
    assert_eq!(counted(THERE, Reason::Guard), 1, "it has none");
}
