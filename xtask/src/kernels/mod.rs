//! `cargo xtask kernels`: the packet tests under the kernels that distributions ship, in an emulator, without touching this machine.

mod cpio;
mod guest;
mod initramfs;
mod modules;
mod package;
mod programs;
pub(crate) mod table;

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use self::modules::Modules;
use self::table::{KERNELS, Kernel};
use crate::build::cargo;
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages::{self, BUILD, DATA_PATH, EMULATOR};
use crate::shell::{line, say};
use crate::summary::Summary;

/// The one architecture of the table.
const ARCHITECTURE: &str = "x86_64";

/// The command.
pub(crate) fn run_words(words: &[&str]) -> Result<(), Failure> {
    let (kernels, filter) = chosen(words)?;
    if std::env::consts::ARCH != ARCHITECTURE {
        return Err(Failure::other(format!(
            "the kernels are for {ARCHITECTURE}, and this machine builds for another one"
        )));
    }
    let root = Root::find();
    packages::install(root, &[BUILD, DATA_PATH, EMULATOR])?;
    let tests = build_tests()?;
    let mut all_passed = true;
    for kernel in kernels {
        all_passed &= run_one(kernel, root, &tests, filter)?;
    }
    if all_passed { Ok(()) } else { Err(Failure::other("not everything passed")) }
}

/// The kernels named, or all, and the beginning of the names of tests.
fn chosen<'a>(words: &[&'a str]) -> Result<(Vec<&'static Kernel>, &'a str), Failure> {
    let (names, filter) = match words {
        [names @ .., "--tests", filter] => (names, *filter),
        names => (names, ""),
    };
    // It goes through a shell in the guest.
    if !filter.chars().all(|c| c.is_ascii_alphanumeric() || "_:".contains(c)) {
        return Err(Failure::usage("--tests takes a part of the names of tests, such as guard::"));
    }
    let known = |name: &&str| KERNELS.iter().find(|kernel| kernel.name == *name).ok_or_else(|| Failure::Usage(usage()));
    let named = names.iter().map(known).collect::<Result<Vec<_>, _>>()?;
    Ok((if named.is_empty() { KERNELS.iter().collect() } else { named }, filter))
}

/// One line for each kernel.
fn usage() -> String {
    let lines = KERNELS.iter().map(|kernel| {
        let Kernel { name, package, release, lacks, expected } = kernel;
        format!("  {name:12} {release}x of {package}; lacks {lacks}; expected: {expected}")
    });
    format!("usage: cargo xtask kernels [NAME ...] [--tests PART]\n{}", lines.collect::<Vec<_>>().join("\n"))
}

/// Boots one and prints what came of it; whether everything passed.
fn run_one(kernel: &Kernel, root: Root, tests: &std::path::Path, filter: &str) -> Result<bool, Failure> {
    let unpacked = package::fetch(kernel, root)?;
    let modules = Modules::open(&unpacked.root, &unpacked.release)?;
    let archive = unpacked.folder.join("initramfs.cpio");
    initramfs::make(&archive, tests, &modules, filter)?;
    let begun = Instant::now();
    let mut summary = Summary::default();
    let booted = guest::boot(&unpacked.image(), &archive, |text| summary.read(text));
    let outcome = booted.and_then(|words| words.verdict(&unpacked.release));
    // A failing test has been counted by its own line.
    if outcome.is_err() && summary.all_passed() {
        summary.check("the guest", &outcome);
    }
    let took = begun.elapsed().as_secs();
    say(format!("\n{}: Linux {} under emulation, {took} s", kernel.name, unpacked.release))?;
    summary.print()?;
    Ok(outcome.is_ok() && summary.all_passed())
}

/// Builds the tests against the kernel, and says where their program is.
fn build_tests() -> Result<PathBuf, Failure> {
    let mut command = cargo(&["test", "--locked", "-p", "dataplane", "--test", "kernel", "--no-run"]);
    command.arg("--message-format=json-render-diagnostics").stderr(Stdio::inherit());
    say(format!("+ {}", line(&command)))?;
    let output = Command::output(&mut command)?;
    if !output.status.success() {
        return Err(Failure::Command { line: line(&command), status: output.status.to_string() });
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    executable(&messages).ok_or_else(|| Failure::other(format!("`{}` names no program", line(&command))))
}

/// The program in Cargo's messages, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    let path = |line: &str| Some(line.split_once("\"executable\":\"")?.1.split('"').next()?.to_owned());
    messages.lines().filter_map(path).next_back().map(PathBuf::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_name_and_tests_by_a_part_of_theirs() {
        assert_eq!(chosen(&[]).unwrap().0.len(), KERNELS.len());
        let (kernels, filter) = chosen(&["debian-12", "--tests", "guard::"]).unwrap();
        assert_eq!((kernels[0].name, filter), ("debian-12", "guard::"));
        assert!(matches!(chosen(&["debian-1"]), Err(Failure::Usage(_))));
        assert!(matches!(chosen(&["--tests", "a'; reboot"]), Err(Failure::Usage(_))));
    }

    #[test]
    fn the_program_of_the_tests_is_the_one_that_cargo_names() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/t/debug/deps/kernel-1\",\"fresh\":true}\n\
                        {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(executable(messages).unwrap(), PathBuf::from("/t/debug/deps/kernel-1"));
    }
}
