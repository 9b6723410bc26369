//! `hedgerow-lab`: the small servant of the laboratory. `list` and `clean` what was left up, `web` serves pages inside it,
//! `pulse` notices when the machine stands still.

mod pulse;
mod web;

use std::io::{self, Write};
use std::process::ExitCode;

use chaos_tests::lab::{self, PREFIX};

const USAGE: &str = "usage: hedgerow-lab list | clean | pulse FILE | web --name NAME ADDRESS...";

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["list"] => list(),
        ["clean"] => clean(),
        ["pulse", file] => pulse::watch(file),
        ["web", "--name", name, addresses @ ..] if !addresses.is_empty() => web::serve(name, addresses),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints what laboratories have on this machine, those in use included.
fn list() -> anyhow::Result<()> {
    print_all(&lab::leftovers(PREFIX), "no laboratory is on this machine")
}

/// Removes the laboratories that nobody uses.
fn clean() -> anyhow::Result<()> {
    if !rustix::process::geteuid().is_root() {
        anyhow::bail!("removing namespaces needs root: run it with sudo");
    }
    print_all(&lab::clean()?, "nothing to remove")
}

fn print_all(found: &[lab::Leftover], none: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    for one in found {
        writeln!(out, "{one}")?;
    }
    if found.is_empty() {
        writeln!(out, "{none}")?;
    }
    Ok(())
}
