//! G0, G6, G13: a guarded channel and an allowed flow are hammered with numbered packets while revisions flip, the peer restarts and
//! its tables are exchanged for larger ones. Lost: none. Denied packets let in: none.

use std::{
    net::UdpSocket,
    os::fd::AsFd,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    thread,
    time::Duration,
};

use dataplane::{Enforcer, Kernel, KernelConfig, TableSizes, TcMode, XdpMode};
use policy::Image;
use rustix::{
    net::sockopt::set_socket_recv_buffer_size_force,
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::{
    guard::{CLUSTER_PORT, Guarded, guarded},
    lab::{self, HERE_V4, THERE_V4},
};

/// Revisions that flip, before `lab::scaled`; `HEDGEROW_TEST_FLIPS` sets another number.
const FLIPS: u64 = 1_000;
/// After so many flips the process's part is taken up anew, or sooner, for there are so many such restarts at least.
const RESTART_EVERY_MAX: u64 = 100;
const RESTARTS_MIN: u64 = 10;
pub(crate) const ALLOWED_PORT: u16 = 9_001;
pub(crate) const DENIED_PORT: u16 = 9_002;
/// Between packets, so that it is not the sockets that lose them.
const PACE: Duration = Duration::from_micros(300);
const RECEIVE_BUFFER_BYTES: usize = 64 << 20;

fn flips() -> u64 {
    std::env::var("HEDGEROW_TEST_FLIPS").ok().and_then(|text| text.parse().ok()).unwrap_or(lab::scaled(FLIPS))
}

/// Two images that say the same about the hammered ports and differ in everything else.
pub(crate) fn image(variant: u64) -> Image {
    let others: String = (0..20 + variant % 2 * 30)
        .map(|n| format!("    - {{name: other{n}, action: deny, from: [{{cidr: 192.0.2.{n}/32}}], services: [{{protocol: tcp, port: {}}}]}}\n", n + 1))
        .collect();
    lab::compiled(&format!(
        "
apiVersion: hedgerow/v1
kind: Segment
metadata: {{name: here}}
spec: {{role: vip, addresses: [{HERE_V4}/32]}}
---
apiVersion: hedgerow/v1
kind: Policy
metadata: {{name: here}}
spec:
  tier: application
  appliesTo: {{segment: here}}
  ingress:
{others}    - {{name: hammered, action: allow, from: [{{cidr: {THERE_V4}/32}}], services: [{{protocol: udp, port: {ALLOWED_PORT}}}]}}
"
    ))
}

/// A socket whose buffer holds everything that comes between two revisions.
fn receiver(port: u16) -> UdpSocket {
    let socket = UdpSocket::bind((HERE_V4, port)).unwrap();
    set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER_BYTES).unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

/// Takes the numbers that have arrived since the last time. What waits in sockets counts against the memory that the kernel gives to all
/// of them, and beyond it the kernel drops.
fn drain(sockets: &[UdpSocket; 3], arrived: &mut [Vec<u64>; 3]) {
    let mut bytes = [0; 8];
    for (socket, numbers) in sockets.iter().zip(arrived) {
        while socket.recv(&mut bytes).is_ok() {
            numbers.push(u64::from_le_bytes(bytes));
        }
    }
}

fn send_until(stop: &AtomicBool, sent: &AtomicU64) {
    let channel = UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap();
    let flow = UdpSocket::bind((THERE_V4, 0)).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let number = sent.load(Ordering::Relaxed).to_le_bytes();
        channel.send_to(&number, (HERE_V4, CLUSTER_PORT)).unwrap();
        flow.send_to(&number, (HERE_V4, ALLOWED_PORT)).unwrap();
        flow.send_to(&number, (HERE_V4, DENIED_PORT)).unwrap();
        sent.fetch_add(1, Ordering::Relaxed);
        thread::sleep(PACE);
    }
}

/// Drops the handle, and takes up what is pinned: with the same tables, or every other time with tables of another size.
fn restart(kernel: Kernel, bed: &Guarded, round: u64) -> Kernel {
    drop(kernel);
    let sizes = TableSizes { flows: 4_096 << (round / 2 % 2), ..TableSizes::small() };
    let config = KernelConfig { sizes, ..lab::config(&bed.lab, XdpMode::Auto, TcMode::Auto) };
    let mut kernel = Kernel::open(config).unwrap();
    kernel.set_guard(&bed.guard).unwrap();
    kernel
}

#[test]
fn g0_nothing_is_lost_and_nothing_gets_in_while_revisions_flip() {
    if lab::skipped() {
        return;
    }
    let mut bed = guarded();
    let images = [image(0), image(1)];
    let mut kernel = bed.kernel.take().unwrap();
    lab::activate(&mut kernel, 1, &images[0]);
    let sockets = [receiver(CLUSTER_PORT), receiver(ALLOWED_PORT), receiver(DENIED_PORT)];
    let mut arrived = [Vec::new(), Vec::new(), Vec::new()];
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let namespace = bed.lab.peer_namespace();
    let mut kernel = thread::scope(|scope| {
        scope.spawn(|| {
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            send_until(&stop, &sent);
        });
        let restart_every = flips().div_ceil(RESTARTS_MIN).min(RESTART_EVERY_MAX);
        for round in 1..=flips() {
            let owed = bed.owed.clone();
            let prepared = kernel.prepare(round, &images[usize::try_from(round % 2).unwrap()], &owed).unwrap();
            kernel.activate(prepared).unwrap();
            drain(&sockets, &mut arrived);
            if round % restart_every == 0 {
                kernel = restart(kernel, &bed, round / restart_every);
            }
        }
        stop.store(true, Ordering::Relaxed);
        kernel
    });
    let sent = sent.load(Ordering::Relaxed);
    drain(&sockets, &mut arrived);
    let [channel, allowed, denied] = arrived;
    assert!(kernel.attest().unwrap().holds());
    assert_eq!(denied, [0; 0], "denied packets got in");
    let all: Vec<u64> = (0..sent).collect();
    assert_eq!(channel.len(), all.len(), "lost of the guarded channel");
    assert_eq!(allowed.len(), all.len(), "lost of the allowed flow");
    assert!(channel == all && allowed == all, "out of order");
    assert!(sent > flips(), "{sent} packets of each kind in {} flips", flips());
    println!("{sent} packets of each kind in {} flips: lost 0 and 0, let in 0", flips());
}
