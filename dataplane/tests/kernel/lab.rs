//! A network namespace and a BPF file system for one test, and a peer on the other end of a veth pair. Everything goes when it is
//! dropped, or with the thread at the latest.

use std::{
    net::IpAddr,
    os::fd::AsFd,
    path::PathBuf,
    process::{Child, Command, Stdio},
    sync::OnceLock,
    thread,
};

pub(crate) use crate::shared::{
    members::{HERE_V4, HERE_V6, THERE_V4, THERE_V6},
    policies::compiled,
};
use dataplane::{Attachment, Enforcer, Kernel, KernelConfig, TableSizes, TcMode, Timeouts, XdpMode};
use identity::Role;
use policy::{Direction, Image, LocalInterface, image::NONE};
use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space, unshare_unsafe},
};

/// The test's own end of the pair.
pub(crate) const HERE: &str = "hr0";
/// The peer's end.
pub(crate) const THERE: &str = "hr1";

/// Where somebody else's data path has its pins, in the lab's BPF file system.
pub(crate) const ELSEWHERE: &str = "stranger";

/// True, having said so, if the test cannot run here.
pub(crate) fn skipped() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root");
    }
    !root
}

/// What traffic control the kernel at hand is asked for: TCX where it has it, and otherwise clsact. Its list of symbols is an opinion
/// independent of the one that is tested.
pub(crate) fn traffic_control() -> Attachment {
    static TCX: OnceLock<bool> = OnceLock::new();
    let symbols = || std::fs::read_to_string("/proc/kallsyms").unwrap();
    let tcx = TCX.get_or_init(|| symbols().lines().any(|line| line.ends_with(" tcx_prog_attach")));
    if *tcx { Attachment::Tcx } else { Attachment::Clsact }
}

/// How traffic control is attached to in a mode.
pub(crate) fn attachment(tc: TcMode) -> Attachment {
    if tc == TcMode::Clsact { Attachment::Clsact } else { traffic_control() }
}

/// True, having said so, if the test cannot run here, or is about what only TCX has.
pub(crate) fn skipped_without_tcx() -> bool {
    let without = !skipped() && traffic_control() != Attachment::Tcx;
    if without {
        println!("skipped: this kernel has no TCX (Linux 6.6 has)");
    }
    without || skipped()
}

/// How often to do what is repeated `full` times on a machine of ordinary speed; `HEDGEROW_TEST_SCALE_PERCENT` is for slower ones.
pub(crate) fn scaled(full: u64) -> u64 {
    let percent = std::env::var("HEDGEROW_TEST_SCALE_PERCENT").ok();
    let percent: u64 = percent.map_or(100, |text| text.parse().expect("a number of percent"));
    (full * percent).div_ceil(100)
}

/// This thread's own world.
pub(crate) struct Lab {
    pub(crate) bpffs: PathBuf,
    directory: tempfile::TempDir,
    peer: Peer,
}

/// The other end: a process that waits in a namespace of its own.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _gone = self.0.kill();
        let _status = self.0.wait();
    }
}

impl Lab {
    /// Moves this thread into new network and mount namespaces and makes the pair.
    pub(crate) fn new() -> Lab {
        // SAFETY: namespaces are of this thread alone, and a descriptor table is not unshared.
        unsafe { unshare_unsafe(UnshareFlags::NEWNET | UnshareFlags::NEWNS) }.unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let directory = tempfile::tempdir().unwrap();
        mount("bpf", directory.path(), "bpf", MountFlags::empty(), None).unwrap();
        let mut child = Command::new("unshare");
        // It ends with its input, and so with this process, however that ends.
        let child = child.args(["--net", "sh", "-c", "echo; exec cat"]);
        let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut peer = Peer(child);
        // The line says that the namespace is there.
        std::io::Read::read_exact(peer.0.stdout.as_mut().unwrap(), &mut [0]).unwrap();
        let lab = Lab { bpffs: directory.path().to_owned(), directory, peer };
        lab.wire();
        lab
    }

    fn wire(&self) {
        let pid = self.peer.0.id();
        run(&format!("ip link add {HERE} type veth peer name {THERE} netns {pid}"));
        run("ip link set lo up");
        for (address, prefix) in [(HERE_V4, 24), (HERE_V6, 64)] {
            run(&format!("ip addr add {address}/{prefix} dev {HERE} {}", nodad(address)));
        }
        run(&format!("ip link set {HERE} up"));
        for (address, prefix) in [(THERE_V4, 24), (THERE_V6, 64)] {
            self.there(&format!("ip addr add {address}/{prefix} dev {THERE} {}", nodad(address)));
        }
        self.there("ip link set lo up");
        self.there(&format!("ip link set {THERE} up"));
    }

    /// The interface as the data path sees it.
    pub(crate) fn interface(&self, role: Role) -> LocalInterface {
        let addresses = [format!("{HERE_V4}/24"), format!("{HERE_V6}/64")].iter().map(|a| a.parse().unwrap()).collect();
        LocalInterface { name: HERE.to_owned(), ifindex: ifindex(HERE), role, addresses }
    }

    /// Runs a command in the peer's namespace.
    pub(crate) fn there(&self, command: &str) {
        run(&format!("nsenter -t {} -n {command}", self.peer.0.id()));
    }

    /// Whether a command in the peer's namespace succeeds.
    pub(crate) fn there_ok(&self, command: &str) -> bool {
        ok(&format!("nsenter -t {} -n {command}", self.peer.0.id()))
    }

    /// The peer's namespace.
    pub(crate) fn peer_namespace(&self) -> std::fs::File {
        std::fs::File::open(format!("/proc/{}/ns/net", self.peer.0.id())).unwrap()
    }

    /// Runs a closure on a thread in the peer's namespace.
    pub(crate) fn at_peer<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.peer_namespace();
        thread::scope(|scope| {
            let thread = scope.spawn(move || {
                move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
                work()
            });
            thread.join().unwrap()
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The pins go with the file system.
        let _unmounted = rustix::mount::unmount(self.directory.path(), rustix::mount::UnmountFlags::DETACH);
    }
}

/// A configuration for the lab's interface.
pub(crate) fn config(lab: &Lab, xdp: XdpMode, tc: TcMode) -> KernelConfig {
    KernelConfig {
        bpffs: lab.bpffs.clone(),
        interfaces: vec![lab.interface(Role::Cluster)],
        sizes: TableSizes::small(),
        xdp,
        tc,
        timeouts: Timeouts::default(),
    }
}

/// A data path of somebody else, with pins of its own.
pub(crate) fn elsewhere(lab: &Lab, interfaces: Vec<LocalInterface>) -> Kernel {
    let bpffs = lab.bpffs.join(ELSEWHERE);
    std::fs::create_dir_all(&bpffs).unwrap();
    Kernel::open(KernelConfig { bpffs, interfaces, ..config(lab, XdpMode::Off, TcMode::Auto) }).unwrap()
}

/// A kernel data path on the lab's interface.
pub(crate) fn open(lab: &Lab) -> Kernel {
    Kernel::open(config(lab, XdpMode::Auto, TcMode::Auto)).unwrap()
}

/// Makes a VLAN of an interface here, named as is usual; false, having said so, if this kernel has no such devices.
pub(crate) fn vlan(parent: &str, vid: u16) -> bool {
    let made = ok(&format!("ip link add link {parent} name {parent}.{vid} type vlan id {vid}"));
    if !made {
        println!("skipped: this kernel has no VLAN devices");
    }
    made
}

/// Denies everything to everyone.
pub(crate) fn deny_all() -> Image {
    let mut image = Image::empty_allow();
    image.tables.verdicts = vec![0, 0, NONE, 0];
    image
}

/// Loads and activates without obligations.
pub(crate) fn activate(kernel: &mut Kernel, revision: u64, image: &Image) {
    let prepared = kernel.prepare(revision, image, &[]).unwrap();
    kernel.activate(prepared).unwrap();
}

/// Reasons that have been counted.
pub(crate) fn seen(kernel: &mut Kernel) -> Vec<(Direction, dataplane::Reason, u64)> {
    let counters = kernel.counters();
    counters.reasons.iter().filter(|(_, _, c)| c.packets > 0).map(|(d, r, c)| (*d, *r, c.packets)).collect()
}

/// Whether an address answers, given time.
pub(crate) fn answers(address: &str) -> bool {
    ok(&format!("ping -c 1 -W 5 {address}"))
}

/// Whether an address does not answer. A machine under load is slow: what must come is waited for longer than what must not.
pub(crate) fn silent(address: &str) -> bool {
    !ok(&format!("ping -c 1 -W 1 {address}"))
}

fn nodad(address: &str) -> &'static str {
    if address.parse::<IpAddr>().unwrap().is_ipv6() { "nodad" } else { "" }
}

/// The kernel's number of an interface here.
pub(crate) fn ifindex(name: &str) -> u32 {
    rustix::net::netdevice::name_to_index(
        rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::DGRAM, None).unwrap(),
        name,
    )
    .unwrap()
}

/// The directions of the filters on an interface whose line has these words, one for each.
pub(crate) fn filters(interface: &str, words: &str) -> Vec<&'static str> {
    let shown = |direction| output(&format!("tc filter show dev {interface} {direction}"));
    let there = |direction| std::iter::repeat_n(direction, shown(direction).matches(words).count());
    ["ingress", "egress"].into_iter().flat_map(there).collect()
}

/// What is to be there of ours.
pub(crate) fn expected_filters(xdp: XdpMode, tc: TcMode) -> &'static [&'static str] {
    match xdp {
        _ if attachment(tc) != Attachment::Clsact => &[],
        XdpMode::Off => &["ingress", "egress"],
        _ => &["egress"],
    }
}

/// Runs a command that must succeed.
pub(crate) fn run(command: &str) {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Whether a command succeeds.
pub(crate) fn ok(command: &str) -> bool {
    Command::new("sh").args(["-c", command]).output().unwrap().status.success()
}

/// What a command prints.
pub(crate) fn output(command: &str) -> String {
    let output = Command::new("sh").args(["-c", command]).output().unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}
