//! G13: a peer that is killed with SIGKILL at any moment (opening, filling, proving, flipping, changing the guard, exchanging tables) leaves
//! enforcement as it was: sync flows and allowed flows pass, denied ones do not, and the next one takes over.

use std::{
    net::UdpSocket,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use dataplane::{Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode};
use identity::Role;
use policy::{LocalInterface, obligations, sample::SplitMix64};

use crate::{
    guard::{CLUSTER_PORT, guard_of, guarded, member},
    hammer::{ALLOWED_PORT, DENIED_PORT, image},
    lab::{self, HERE, HERE_V4, HERE_V6, Lab, THERE_V4, THERE_V6, ifindex},
};

const CHILD: &str = "HEDGEROW_TEST_FLIPPING_BPFFS";
const SIZE: &str = "HEDGEROW_TEST_FLIPPING_FLOWS";
/// Kills, before `lab::scaled`, and at least: two with tables of another size.
const KILLS: u64 = 12;
const KILLS_MIN: u64 = 6;
/// A child is killed after so many times the time that opening takes here, at most.
const LIFE_OPENINGS_MAX: u32 = 2;
const SEED: u64 = 20_261_122;

/// Not a test of its own: the process that is killed.
#[test]
fn child_that_flips_for_ever() {
    let Some(bpffs) = std::env::var_os(CHILD) else { return };
    let flows = std::env::var(SIZE).unwrap().parse().unwrap();
    let addresses = [format!("{HERE_V4}/24"), format!("{HERE_V6}/64")].iter().map(|net| net.parse().unwrap()).collect();
    let interface = LocalInterface { name: HERE.to_owned(), ifindex: ifindex(HERE), role: Role::Cluster, addresses };
    let interfaces = vec![interface];
    let mut kernel = Kernel::open(KernelConfig {
        bpffs: bpffs.into(),
        interfaces: interfaces.clone(),
        sizes: TableSizes { flows, ..TableSizes::small() },
        xdp: XdpMode::Auto,
        tc: TcMode::Auto,
        timeouts: Timeouts::default(),
    })
    .unwrap();
    let two = [member(1, &[HERE_V4, HERE_V6]), member(2, &[THERE_V4, THERE_V6])];
    let three = [&two[..], &[member(3, &["10.77.0.3", "fd77::3"])]].concat();
    let guards = [guard_of(&interfaces, &two), guard_of(&interfaces, &three)];
    let images = [image(0), image(1)];
    for round in 1.. {
        let which = usize::try_from(round % 2).unwrap();
        kernel.set_guard(&guards[which]).unwrap();
        let prepared = kernel.prepare(round, &images[which], &obligations(&guards[which], &interfaces)).unwrap();
        kernel.activate(prepared).unwrap();
    }
}

fn child(lab: &Lab, flows: u32) -> Child {
    let arguments = ["--exact", "killed::child_that_flips_for_ever", "--nocapture"];
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(arguments).env(CHILD, &lab.bpffs).env(SIZE, flows.to_string());
    child.stdout(std::process::Stdio::null()).spawn().unwrap()
}

/// What of a guarded channel, an allowed flow and a denied one arrives.
fn arrives(lab: &Lab) -> [bool; 3] {
    let sockets = [CLUSTER_PORT, ALLOWED_PORT, DENIED_PORT].map(|port| UdpSocket::bind((HERE_V4, port)).unwrap());
    lab.at_peer(|| {
        let channel = UdpSocket::bind((THERE_V4, CLUSTER_PORT)).unwrap();
        channel.send_to(b"1", (HERE_V4, CLUSTER_PORT)).unwrap();
        let flow = UdpSocket::bind((THERE_V4, 0)).unwrap();
        flow.send_to(b"2", (HERE_V4, DENIED_PORT)).unwrap();
        flow.send_to(b"3", (HERE_V4, ALLOWED_PORT)).unwrap();
    });
    let waits = [10_000, 10_000, 50].map(Duration::from_millis);
    let received = |(socket, wait): (UdpSocket, Duration)| {
        socket.set_read_timeout(Some(wait)).unwrap();
        socket.recv(&mut [0; 8]).is_ok()
    };
    let [one, two, three] = sockets;
    [(one, waits[0]), (two, waits[1]), (three, waits[2])].map(received)
}

#[test]
fn g13_killed_at_any_moment_it_goes_on_enforcing() {
    if lab::skipped() {
        return;
    }
    let mut bed = guarded();
    let mut kernel = bed.kernel.take().unwrap();
    lab::activate(&mut kernel, 1, &image(0));
    drop(kernel);
    let begun = Instant::now();
    drop(lab::open(&bed.lab));
    let life_max = begun.elapsed() * LIFE_OPENINGS_MAX;
    let mut random = SplitMix64::new(SEED);
    for kill in 0..lab::scaled(KILLS).max(KILLS_MIN) {
        // Tables of the same size, and every third time of another one.
        let flows = if kill % 3 == 2 { 8_192 } else { 4_096 };
        let mut child = child(&bed.lab, flows);
        let life = Duration::from_millis(random.below(usize::try_from(life_max.as_millis()).unwrap()) as u64);
        thread::sleep(life);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(arrives(&bed.lab), [true, true, false], "seed {SEED}, kill {kill} after {life:?}");
    }
    let mut kernel = lab::open(&bed.lab);
    kernel.set_guard(&bed.guard).unwrap();
    let prepared = kernel.prepare(1_000, &image(1), &bed.owed).unwrap();
    kernel.activate(prepared).unwrap();
    assert!(kernel.attest().unwrap().holds());
    assert_eq!(arrives(&bed.lab), [true, true, false]);
}
