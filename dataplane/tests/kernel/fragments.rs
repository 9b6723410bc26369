//! Fragments: those of sync flows pass where their first did and nowhere else (G0), and refused ones push out nothing.

use dataplane::{Enforcer, Hook, Kernel, Reason, testing::frame_of};
use identity::Role;
use policy::{Direction, Flow};

use crate::{
    guard::{CLUSTER_PORT, Guarded, guarded},
    lab::{self, HERE, HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6, activate, ifindex},
};

/// A fragment of the flow's datagram: the first one, with the transport header, or one behind it.
fn fragment(flow: &Flow, id: u16, first: bool) -> Vec<u8> {
    let mut frame = frame_of(flow, 0x10);
    let [high, low] = id.to_be_bytes();
    if flow.src.is_ipv4() {
        frame[18..22].copy_from_slice(&[high, low, if first { 0x20 } else { 0 }, if first { 0 } else { 8 }]);
        return frame;
    }
    let next = std::mem::replace(&mut frame[20], 44);
    let offset = if first { 1 } else { 64 };
    frame.splice(54..54, [next, 0, 0, offset, 0, 0, high, low]);
    let length = u16::from_be_bytes([frame[18], frame[19]]) + 8;
    frame[18..20].copy_from_slice(&length.to_be_bytes());
    frame
}

fn flow(src: &str, dst: &str, protocol: u8, dst_port: u16) -> Flow {
    Flow { src: src.parse().unwrap(), dst: dst.parse().unwrap(), protocol, src_port: dst_port, dst_port }
}

fn ask(kernel: &mut Kernel, ifindex: u32, direction: Direction, frame: &[u8]) -> Reason {
    kernel.judge(Hook { ifindex, direction }, frame).unwrap().reason
}

#[test]
fn g0_a_later_fragment_passes_where_its_first_did_and_nowhere_else() {
    if lab::skipped() {
        return;
    }
    let Guarded { lab: _lab, kernel, .. } = guarded();
    let mut kernel = kernel.unwrap();
    let (here, elsewhere) = (ifindex(HERE), ifindex(HERE) + 1);
    for (peer, own) in [(THERE_V4, HERE_V4), (THERE_V6, HERE_V6)] {
        let sync = flow(peer, own, 17, CLUSTER_PORT);
        let (first, later) = (fragment(&sync, 77, true), fragment(&sync, 77, false));
        let hook = Hook { ifindex: here, direction: Direction::Ingress };
        assert_eq!(ask(&mut kernel, here, Direction::Ingress, &later), Reason::FragmentUnknown);
        assert_eq!(ask(&mut kernel, here, Direction::Ingress, &first), Reason::Guard);
        kernel.pass_live(hook, &first).unwrap();
        assert_eq!(ask(&mut kernel, here, Direction::Ingress, &later), Reason::Guard);
        assert_eq!(ask(&mut kernel, elsewhere, Direction::Ingress, &later), Reason::Spoofed);
        assert_eq!(ask(&mut kernel, here, Direction::Egress, &later), Reason::FragmentUnknown);
        assert_eq!(ask(&mut kernel, elsewhere, Direction::Egress, &later), Reason::FragmentUnknown);
        let other = fragment(&sync, 78, false);
        assert_eq!(ask(&mut kernel, here, Direction::Ingress, &other), Reason::FragmentUnknown);
    }
}

#[test]
fn a_flood_of_refused_first_fragments_pushes_out_no_other() {
    if lab::skipped() {
        return;
    }
    let lab = Lab::new();
    let mut kernel = lab::open(&lab);
    let interface = lab.interface(Role::Cluster);
    activate(&mut kernel, 1, &crate::state::image(""));
    let hook = Hook { ifindex: interface.ifindex, direction: Direction::Ingress };
    let allowed = flow("198.51.100.7", "203.0.113.10", 6, 443);
    let refused = Flow { dst_port: 22, ..allowed };
    kernel.pass_live(hook, &fragment(&allowed, 1, true)).unwrap();
    // More than the table holds.
    for id in 2..20_000 {
        kernel.pass_live(hook, &fragment(&refused, id, true)).unwrap();
    }
    let mut ask = |id| kernel.judge(hook, &fragment(&allowed, id, false)).unwrap().reason;
    assert_eq!(ask(1), Reason::FragmentFollows);
    assert_eq!(ask(19_999), Reason::FragmentUnknown);
}
