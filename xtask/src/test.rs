//! `cargo xtask test`: every check and test that can be run here, and a count of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::build::{cargo, host, repository, target_dir};
use crate::failure::Failure;
use crate::machine::{self, Root};
use crate::packages::{self, BUILD, DATA_PATH, LAB, SANITIZERS, STYLE};
use crate::shell::{output, run, run_lines, say};
use crate::summary::Summary;
use crate::tidy;

/// Tells tests that they may take their time.
const LONG: (&str, &str) = ("HEDGEROW_TEST_LONG", "1");

/// The command.
pub(crate) fn run_words(words: &[&str]) -> Result<(), Failure> {
    match words {
        [] => run_all(false),
        ["--long"] => run_all(true),
        _ => Err(Failure::usage("usage: cargo xtask test [--long]")),
    }
}

fn run_all(long: bool) -> Result<(), Failure> {
    let root = Root::find();
    let mut summary = Summary::default();
    let installed = packages::install(root, &[BUILD, LAB, DATA_PATH, SANITIZERS, STYLE]);
    if let Err(failure) = &installed {
        if root != Root::No {
            return installed;
        }
        say(failure.to_string())?;
    }
    if root == Root::No {
        say("Neither root nor sudo: the tests that need it say so below and do nothing.")?;
    }
    style(&mut summary)?;
    tests(root, long, &mut summary)?;
    summary.print()?;
    if summary.all_passed() { Ok(()) } else { Err(Failure::other("not everything passed")) }
}

/// Layout, lints and the rules of the house.
fn style(summary: &mut Summary) -> Result<(), Failure> {
    summary.check("cargo fmt", &run(&mut cargo(&["fmt", "--all", "--check"])));
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    summary.check("cargo clippy", &run(&mut cargo(&clippy)));
    let fuzz = ["--manifest-path", "fuzz/Cargo.toml", "--target-dir"];
    summary.check("cargo fmt, fuzz", &run(cargo(&["fmt", "--check"]).args(&fuzz[..2])));
    let clippy = run(cargo(&["clippy", "--locked"]).args(fuzz).arg(target_dir()).args(["--", "-D", "warnings"]));
    summary.check("cargo clippy, fuzz", &clippy);
    let sources = c_sources(&repository());
    if machine::find("clang-format").is_some() {
        let mut format = Command::new("clang-format");
        summary.check(
            "clang-format",
            &run(format.args(["--dry-run", "-Werror"]).args(&sources).current_dir(repository())),
        );
    } else {
        summary.skip("clang-format: it is not installed");
    }
    summary.check("tidy", &tidy::run());
    if output("cargo", &["deny", "--version"]).is_some() {
        summary.check("cargo deny", &run(&mut cargo(&["deny", "check", "licenses", "bans", "sources"])));
    } else {
        summary.skip("cargo deny: it is not installed (cargo install cargo-deny)");
    }
    say("")
}

/// All tests of the workspace, as root where there is a way to be.
fn tests(root: Root, long: bool, summary: &mut Summary) -> Result<(), Failure> {
    // The end-to-end tests run the finished programs. Built together with the tests, no dependency is built twice.
    let built = run(&mut cargo(&["test", "--locked", "--workspace", "--no-run"]));
    summary.check("cargo test --no-run", &built);
    let mut command = cargo(&["test", "--locked", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    if root == Root::Sudo {
        command.env(runner_variable()?, "sudo -E");
    }
    if long {
        command.env(LONG.0, LONG.1);
    }
    let clean_before = summary.all_passed();
    let outcome = run_lines(&mut command, |line| summary.read(line));
    // A failing test is counted by its own line; what is left is a build that failed or a program that crashed.
    if outcome.is_err() && summary.all_passed() == clean_before {
        summary.check("cargo test", &outcome);
    }
    Ok(())
}

/// The variable with which Cargo runs test programs through another program, for this machine.
fn runner_variable() -> Result<String, Failure> {
    Ok(format!("CARGO_TARGET_{}_RUNNER", host()?.to_uppercase().replace('-', "_")))
}

/// Every C source and header of the repository.
fn c_sources(repository: &Path) -> Vec<PathBuf> {
    let is_c = |file: &PathBuf| file.extension().is_some_and(|end| end == "c" || end == "h");
    tidy::files(repository).into_iter().filter(is_c).collect()
}
