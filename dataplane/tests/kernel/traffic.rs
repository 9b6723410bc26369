//! The programs on a veth pair, at every kind of hook, with real traffic.

use std::{
    net::{TcpListener, TcpStream},
    time::Duration,
};

use dataplane::{Attachment, Enforcer, Kernel, Reason, TcMode, XdpMode};
use policy::{Direction, Image};

use crate::lab::{self, HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6, activate, answers, deny_all, seen, silent};

/// Whether the peer can open a connection to here.
fn connects(lab: &Lab, wait: Duration) -> bool {
    let listener = TcpListener::bind((HERE_V4, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    lab.at_peer(|| TcpStream::connect_timeout(&address, wait).is_ok())
}

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(300);

fn allowed_passes_and_denied_does_not(xdp: XdpMode, tc: TcMode, ingress: Option<Attachment>) {
    if lab::skipped() {
        return;
    }
    let egress = if tc == TcMode::Clsact { Attachment::Clsact } else { lab::traffic_control() };
    let ingress = ingress.unwrap_or(egress);
    let lab = Lab::new();
    let mut kernel = Kernel::open(lab::config(&lab, xdp, tc)).unwrap();
    let hooks = kernel.attest().unwrap().hooks;
    assert_eq!(hooks.iter().map(|h| h.attachment).collect::<Vec<_>>(), [ingress, egress]);
    assert!(answers(THERE_V4), "no policy yet: everything passes");
    activate(&mut kernel, 1, &Image::empty_allow());
    let passed = [answers(THERE_V4), answers(THERE_V6), connects(&lab, LONG)];
    assert_eq!(passed, [true; 3], "{:?}", seen(&mut kernel));
    activate(&mut kernel, 2, &deny_all());
    assert!(silent(THERE_V4) && silent(THERE_V6) && !connects(&lab, SHORT));
    assert!(!lab.there_ok(&format!("ping -c 1 -W 1 {HERE_V6}")));
    let attestation = kernel.attest().unwrap();
    assert!(attestation.holds());
    assert_eq!(attestation.active.unwrap().generation, 2);
    let denied = kernel.counters().reason(Direction::Egress, Reason::Denied);
    assert!(denied.packets >= 2 && denied.bytes > denied.packets * 60, "{denied:?}");
    kernel.set_disarmed(true);
    assert!(answers(THERE_V4) && connects(&lab, LONG));
    kernel.set_disarmed(false);
    assert!(silent(THERE_V4));
    activate(&mut kernel, 1, &Image::empty_allow());
    assert!(answers(THERE_V4), "a roll-back is a new generation");
    kernel.detach_all().unwrap();
    assert!(answers(THERE_V4));
}

#[test]
fn native_xdp_and_traffic_control() {
    allowed_passes_and_denied_does_not(XdpMode::Auto, TcMode::Auto, Some(Attachment::XdpNative));
}

#[test]
fn generic_xdp_and_traffic_control() {
    allowed_passes_and_denied_does_not(XdpMode::Generic, TcMode::Auto, Some(Attachment::XdpGeneric));
}

/// TCX, and on kernels without it what `clsact_both_ways` asks for by name.
#[test]
fn traffic_control_both_ways() {
    allowed_passes_and_denied_does_not(XdpMode::Off, TcMode::Auto, None);
}

#[test]
fn clsact_both_ways() {
    allowed_passes_and_denied_does_not(XdpMode::Off, TcMode::Clsact, None);
}
