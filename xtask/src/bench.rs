//! `cargo xtask bench`.

use crate::build::build;
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages::{self, BUILD};
use crate::shell::run;

/// Nanoseconds per packet by test run.
pub(crate) fn datapath() -> Result<(), Failure> {
    let root = Root::find();
    if root == Root::No {
        return Err(Failure::other("The benchmark loads eBPF programs: it needs root or sudo."));
    }
    packages::install(root, &[BUILD])?;
    let examples = build(&["--release", "-p", "dataplane", "--example", "bench_datapath"])?.join("examples");
    let mut command =
        root.command(examples.join("bench_datapath")).ok_or_else(|| Failure::other("the benchmark needs root"))?;
    run(&mut command)
}
