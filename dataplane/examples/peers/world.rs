//! A world of its own for one measurement: network and mount namespaces of this process, so that interfaces, rules, pins and
//! mounts go with it, however it ends. Nothing is made outside.

use std::{
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    net::{AddressFamily, SocketType, netdevice::name_to_index, socket},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Covered by a BPF file system that nobody else sees.
const COVERED: &str = "/sys/fs/bpf";
/// Interfaces would otherwise ask for routers in the middle of a measurement.
const QUIET: &str = "/proc/sys/net/ipv6/conf/default/disable_ipv6";

/// Moves this thread, and whatever it starts, into new namespaces; the answer is a BPF file system there.
pub(crate) fn enter() -> PathBuf {
    assert!(rustix::process::geteuid().is_root(), "measuring in the kernel needs root");
    // SAFETY: namespaces of this thread alone; descriptors are not unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.expect("namespaces");
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).expect("private mounts");
    mount("bpf", COVERED, "bpf", MountFlags::empty(), None).expect("a BPF file system");
    if Path::new(QUIET).exists() {
        std::fs::write(QUIET, "1").expect("IPv6 can be switched off in a new namespace");
    }
    PathBuf::from(COVERED)
}

/// A veth pair with one queue each way, up; the answer is the numbers of both ends.
pub(crate) fn veth(near: &str, far: &str) -> (u32, u32) {
    let one = "numtxqueues 1 numrxqueues 1";
    let sending = format!("ip link add {near} {one} type veth peer name {far} {one}");
    for command in [sending, format!("ip link set {near} up"), format!("ip link set {far} up")] {
        run(&command, "");
    }
    (ifindex(near), ifindex(far))
}

fn ifindex(name: &str) -> u32 {
    let any = socket(AddressFamily::INET, SocketType::DGRAM, None).expect("a socket");
    name_to_index(any, name).expect("the interface was made")
}

/// Runs a command, with a text for its standard input, that must succeed.
pub(crate) fn run(command: &str, input: &str) {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a program");
    let child = Command::new(program).args(words).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    let mut pipe = child.stdin.take().expect("a pipe");
    // What it does not read it does not need; whether it succeeded is asked below.
    let _unread = pipe.write_all(input.as_bytes());
    drop(pipe);
    let output = child.wait_with_output().expect("a child can be waited for");
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// The middle one.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
