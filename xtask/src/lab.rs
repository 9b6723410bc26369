//! `cargo xtask lab`: a laboratory to look around in.

use crate::build::build;
use crate::demo;
use crate::failure::Failure;
use crate::machine::Root;
use crate::shell::run;

/// How many steps of the demonstration `lab up` plays: until the policies are enforced and shown.
const STEPS: &str = "5";

/// The command.
pub(crate) fn run_words(words: &[&str]) -> Result<(), Failure> {
    match words {
        ["up"] => demo::run_with(&["--keep", "--steps", STEPS]),
        ["list"] => servant("list", Root::find()),
        ["clean"] => servant("clean", Root::find()),
        _ => Err(Failure::usage("usage: cargo xtask lab up | list | clean")),
    }
}

fn servant(word: &str, root: Root) -> Result<(), Failure> {
    let program = build(&["-p", "chaos-tests", "--bin", "hedgerow-lab"])?.join("hedgerow-lab");
    let mut command = root.command(&program).ok_or_else(|| Failure::other("looking after laboratories needs root"))?;
    run(command.arg(word))
}
