//! The programs on a veth pair, with real traffic.

mod lab;

use std::{
    net::{Ipv4Addr, TcpListener, TcpStream, UdpSocket},
    time::Duration,
};

use dataplane::{Attachment, Enforcer, Hook, Kernel, KernelConfig, Reason, TableSizes, TcMode, Timeouts, XdpMode};
use identity::Role;
use lab::{HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6, ok, skipped};
use policy::{Direction, Guard, GuardEntry, Image, PortMatch, image::NONE};

fn config(lab: &Lab, xdp: XdpMode, tc: TcMode) -> KernelConfig {
    KernelConfig {
        bpffs: lab.bpffs.clone(),
        interfaces: vec![lab.interface(Role::Cluster)],
        sizes: TableSizes::small(),
        xdp,
        tc,
        timeouts: Timeouts::default(),
    }
}

/// Denies everything to everyone.
fn deny_all() -> Image {
    let mut image = Image::empty_allow();
    image.tables.verdicts = vec![0, 0, NONE, 0];
    image
}

fn activate(kernel: &mut Kernel, revision: u64, image: &Image) {
    let prepared = kernel.prepare(revision, image, &[]).unwrap();
    kernel.activate(prepared).unwrap();
}

/// Reasons that have been counted.
fn seen(kernel: &mut Kernel) -> Vec<(Direction, Reason, u64)> {
    let counters = kernel.counters().unwrap();
    counters.reasons.iter().filter(|(_, _, c)| c.packets > 0).map(|(d, r, c)| (*d, *r, c.packets)).collect()
}

fn ping(address: &str) -> bool {
    ok(&format!("ping -c 1 -W 1 {address}"))
}

fn connects(lab: &Lab) -> bool {
    let listener = TcpListener::bind((HERE_V4, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    lab.at_peer(|| TcpStream::connect_timeout(&address, Duration::from_millis(500)).is_ok())
}

#[test]
fn g13_allowed_passes_and_denied_does_not_at_every_kind_of_hook() {
    if skipped() {
        return;
    }
    let kinds = [
        (XdpMode::Auto, TcMode::Auto, Attachment::XdpNative, Attachment::Tcx),
        (XdpMode::Generic, TcMode::Auto, Attachment::XdpGeneric, Attachment::Tcx),
        (XdpMode::Off, TcMode::Auto, Attachment::Tcx, Attachment::Tcx),
        (XdpMode::Off, TcMode::Clsact, Attachment::Clsact, Attachment::Clsact),
    ];
    for (xdp, tc, ingress, egress) in kinds {
        let lab = Lab::new();
        let mut kernel = Kernel::open(config(&lab, xdp, tc)).unwrap();
        let hooks = kernel.attest().unwrap().hooks;
        assert_eq!(hooks.iter().map(|h| h.attachment).collect::<Vec<_>>(), [ingress, egress]);
        assert!(ping(THERE_V4), "no policy yet: everything passes");
        activate(&mut kernel, 1, &Image::empty_allow());
        let passed = [ping(THERE_V4), ping(THERE_V6), connects(&lab)];
        assert_eq!(passed, [true; 3], "{ingress}: {:?}", seen(&mut kernel));
        activate(&mut kernel, 2, &deny_all());
        assert!(!ping(THERE_V4) && !ping(THERE_V6) && !connects(&lab), "{ingress}");
        assert!(!lab.there_ok(&format!("ping -c 1 -W 1 {HERE_V6}")));
        let attestation = kernel.attest().unwrap();
        assert!(attestation.holds());
        assert_eq!(attestation.active.unwrap().generation, 2);
        let denied = kernel.counters().unwrap().reason(Direction::Egress, Reason::Denied);
        assert!(denied.packets >= 2 && denied.bytes > denied.packets * 60, "{denied:?}");
        kernel.set_disarmed(true).unwrap();
        assert!(ping(THERE_V4) && connects(&lab));
        kernel.set_disarmed(false).unwrap();
        assert!(!ping(THERE_V4));
        activate(&mut kernel, 1, &Image::empty_allow());
        assert!(ping(THERE_V4), "a roll-back is a new generation");
        kernel.detach_all().unwrap();
    }
}
