//! `cargo xtask demo`.

use crate::build::build;
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages::{self, BUILD, LAB};
use crate::shell::{run, say};

/// Installs, builds and plays the demonstration with these options.
pub(crate) fn run_with(options: &[&str]) -> Result<(), Failure> {
    let root = Root::find();
    if root == Root::No {
        return Err(Failure::other(
            "The demonstration makes network namespaces and loads eBPF programs: it needs root.\nRun `sudo -E cargo xtask demo`, or install sudo.",
        ));
    }
    packages::install(root, &[BUILD, LAB])?;
    let programs = build(&["-p", "node", "-p", "chaos-tests"])?;
    let mut demo =
        root.command(programs.join("hedgerow-demo")).ok_or_else(|| Failure::other("the demonstration needs root"))?;
    run(demo.args(options))
}

/// The command.
pub(crate) fn play(options: &[&str]) -> Result<(), Failure> {
    say("Hedgerow's demonstration: installs what is missing, builds, and plays it in network namespaces of its own.")?;
    run_with(options)
}
