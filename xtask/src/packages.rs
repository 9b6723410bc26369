//! What the build, the tests and the demonstration need of the system, and installing it.

use std::path::Path;
use std::process::Command;

use crate::failure::Failure;
use crate::machine::{self, Root};
use crate::services;
use crate::shell::{run, say, succeeds};

/// A package of Debian and Ubuntu, and how to tell that it is there.
#[derive(Clone, Copy)]
pub(crate) struct Need {
    package: &'static str,
    sign: Sign,
    why: &'static str,
}

#[derive(Clone, Copy)]
enum Sign {
    /// A program of this name.
    Program(&'static str),
    /// One of these files.
    File(&'static [&'static str]),
    /// clang finishes a program with this flag.
    Clang(&'static str),
}

const fn program(package: &'static str, name: &'static str, why: &'static str) -> Need {
    Need { package, sign: Sign::Program(name), why }
}

const fn file(package: &'static str, paths: &'static [&'static str], why: &'static str) -> Need {
    Need { package, sign: Sign::File(paths), why }
}

/// To build.
pub(crate) const BUILD: &[Need] = &[
    program("gcc", "cc", "links, and compiles the C of dependencies"),
    file("libc6-dev", &["/usr/include/stdlib.h"], "headers of the C library"),
    program("clang", "clang", "compiles the eBPF programs"),
    file("libbpf-dev", &["/usr/include/bpf/bpf_helpers.h"], "headers of the eBPF programs"),
    file("linux-libc-dev", &["/usr/include/linux/bpf.h"], "headers of the kernel"),
];

/// To run the laboratory: the demonstration and the end-to-end tests.
pub(crate) const LAB: &[Need] = &[
    program("iproute2", "ip", "network namespaces"),
    program("nftables", "nft", "cuts networks in the laboratory"),
    program("procps", "sysctl", "kernel parameters of a namespace"),
    program("keepalived", "keepalived", "the real VRRP"),
    program("haproxy", "haproxy", "the real load balancer"),
    program("curl", "curl", "to look around in the laboratory"),
];

/// To run the tests of the data path.
pub(crate) const DATA_PATH: &[Need] = &[
    program("iproute2", "ip", "interfaces in network namespaces"),
    program("iproute2", "tc", "traffic control, which some tests turn against us"),
    program("iputils-ping", "ping", "asks whether an address answers"),
    program("bpftool", "bpftool", "takes programs away behind our back"),
    program("util-linux", "setpriv", "the capabilities of the unit, and no others"),
];

/// To run the kernels of distributions.
pub(crate) const EMULATOR: &[Need] = &[
    program("qemu-system-x86", "qemu-system-x86_64", "runs another kernel without acceleration"),
    program("kmod", "depmod", "the order of kernel modules"),
    program("kmod", "insmod", "loads them in the guest"),
    program("mount", "mount", "the guest's file systems"),
];

/// To measure beside.
pub(crate) const PEERS: &[Need] = &[
    program("iproute2", "ip", "interfaces in a network namespace"),
    program("nftables", "nft", "the packet filter that Hedgerow is measured against"),
];

/// To check the style.
pub(crate) const STYLE: &[Need] = &[program("clang-format", "clang-format", "the layout of the C")];

/// To run the C of the data path under the sanitizers and the fuzzer.
pub(crate) const SANITIZERS: &[Need] = &[Need {
    package: "libclang-rt-dev",
    sign: Sign::Clang("-fsanitize=address,undefined"),
    why: "the sanitizers and the fuzzer of clang",
}];

impl Need {
    fn is_there(self) -> bool {
        match self.sign {
            Sign::Program(name) => machine::find(name).is_some(),
            Sign::Clang(flag) => clang_links(flag),
            Sign::File(paths) => paths.iter().any(|path| Path::new(path).exists()),
        }
    }
}

/// Whether clang has the libraries that a flag asks for: where they lie differs from one version to the next.
fn clang_links(flag: &str) -> bool {
    let clang = std::env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    // A program of its own for each process, and none is left behind.
    let program = std::env::temp_dir().join(format!("hedgerow-sanitizers-{}", std::process::id()));
    let source = "int main(void) { return 0; }\n";
    let file = program.with_extension("c");
    let links = std::fs::write(&file, source).is_ok()
        && succeeds(&clang, &[flag, &file.to_string_lossy(), "-o", &program.to_string_lossy()]);
    for left in [&file, &program] {
        let _gone = std::fs::remove_file(left);
    }
    links
}

/// Installs what is missing, after saying so.
pub(crate) fn install(root: Root, needs: &[&[Need]]) -> Result<(), Failure> {
    let missing: Vec<Need> =
        needs.iter().flat_map(|list| list.iter().copied()).filter(|need| !need.is_there()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    say("These packages are missing and will be installed with apt-get:")?;
    for need in &missing {
        say(format!("  {:14} {}", need.package, need.why))?;
    }
    let mut packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    packages.sort_unstable();
    packages.dedup();
    apt(root, &packages)?;
    let still: Vec<&str> = missing.iter().filter(|need| !need.is_there()).map(|need| need.package).collect();
    if still.is_empty() {
        Ok(())
    } else {
        Err(Failure::other(format!("still missing after the installation: {}", still.join(", "))))
    }
}

/// Learns what the package sources offer today.
pub(crate) fn update(root: Root) -> Result<(), Failure> {
    run(apt_get(root, "run `apt-get update` yourself")?.args(["update", "-qq"]))
}

fn apt(root: Root, packages: &[&str]) -> Result<(), Failure> {
    let by_hand = format!("install them yourself: {}", packages.join(" "));
    let (mut update, mut install) = (apt_get(root, &by_hand)?, apt_get(root, &by_hand)?);
    let quiet = services::Quiet::begin(root, packages)?;
    install.args(["install", "-y", "-qq", "--no-install-recommends"]).args(packages);
    let installed = run(update.args(["update", "-qq"])).and_then(|()| run(&mut install));
    quiet.end()?;
    installed
}

/// A call of apt-get, if this machine has one and we may use it.
fn apt_get(root: Root, by_hand: &str) -> Result<Command, Failure> {
    if machine::find("apt-get").is_none() {
        return Err(Failure::other(format!("this machine has no apt-get; {by_hand}")));
    }
    let mut command =
        root.command("env").ok_or_else(|| Failure::other(format!("installing needs root or sudo; {by_hand}")))?;
    command.args(["DEBIAN_FRONTEND=noninteractive", "apt-get"]);
    Ok(command)
}
