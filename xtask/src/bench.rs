//! `cargo xtask bench`: the measurements behind the figures, each an example of the crate that it measures.

use crate::build::build;
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages::{self, BUILD, Need, PEERS};
use crate::shell::run;

/// A measurement.
struct Bench {
    name: &'static str,
    package: &'static str,
    example: &'static str,
    needs_root: bool,
    /// Beyond what building takes.
    needs: &'static [Need],
    what: &'static str,
}

const BENCHES: [Bench; 6] = [
    Bench {
        name: "datapath",
        package: "dataplane",
        example: "bench_datapath",
        needs_root: true,
        needs: &[],
        what: "nanoseconds per packet of the eBPF programs, against floors and references",
    },
    Bench {
        name: "change",
        package: "dataplane",
        example: "bench_change",
        needs_root: true,
        needs: PEERS,
        what: "replacing 10,000 rules in the kernel and changing one, beside nftables",
    },
    Bench {
        name: "throughput",
        package: "dataplane",
        example: "bench_throughput",
        needs_root: true,
        needs: PEERS,
        what: "packets per second through a veth pair, beside nftables and programs that do nothing",
    },
    Bench {
        name: "compile",
        package: "policy",
        example: "compile_bench",
        needs_root: false,
        needs: &[],
        what: "compiling 10 to 100,000 rules: time and size of the image",
    },
    Bench {
        name: "writes",
        package: "raft",
        example: "write_latency",
        needs_root: false,
        needs: &[],
        what: "durable writes to three nodes on this machine",
    },
    Bench {
        name: "transport",
        package: "transport",
        example: "latency",
        needs_root: false,
        needs: &[],
        what: "connecting, round trips and throughput between two endpoints, beside TCP",
    },
];

/// The command.
pub(crate) fn run_named(words: &[&str]) -> Result<(), Failure> {
    let bench = match words {
        [name] => BENCHES.iter().find(|bench| bench.name == *name),
        _ => None,
    };
    let bench = bench.ok_or_else(|| Failure::Usage(usage()))?;
    let root = Root::find();
    if bench.needs_root && root == Root::No {
        return Err(Failure::other("This benchmark loads eBPF programs: it needs root or sudo."));
    }
    packages::install(root, &[BUILD, bench.needs])?;
    let programs = build(&["--release", "-p", bench.package, "--example", bench.example])?;
    let program = programs.join("examples").join(bench.example);
    let as_user = std::process::Command::new(&program);
    let mut command = if bench.needs_root { root.command(&program).unwrap_or(as_user) } else { as_user };
    run(&mut command)
}

/// One line for each measurement.
fn usage() -> String {
    let lines = BENCHES.iter().map(|bench| format!("  cargo xtask bench {:10} {}", bench.name, bench.what));
    format!("usage:\n{}", lines.collect::<Vec<_>>().join("\n"))
}
