//! The commands of a developer: `cargo xtask demo`, `test`, `kernels`, `bench`, `fuzz`, `lab`, `tidy`.
//!
//! Depends on nothing but the standard library, so that it builds in seconds on a bare machine and can then say, and install,
//! what the rest needs.

mod bench;
mod build;
mod demo;
mod failure;
mod fuzz;
mod kernels;
mod lab;
mod machine;
mod packages;
mod services;
mod shell;
mod summary;
mod test;
mod tidy;

use std::process::ExitCode;

use failure::Failure;

const USAGE: &str = "usage: cargo xtask COMMAND

  demo [--keep] [--revisions N]   the whole of it in network namespaces: forms, enforces, is hurt, heals; prints what it measured
  test [--long]                   every check and test, those that need root included; installs what is missing and says so first;
                                  --long: ten times as many revisions flip under traffic
  kernels [NAME ...]              the packet tests under the kernels of distributions (Debian 12: 6.1), emulated; --tests PART for some
  bench NAME                      a measurement, in a release build; without a name it lists them (datapath, change, throughput, …)
  fuzz [TARGET] [--seconds N]     the fuzz targets (judge, documents), a minute each; what is found is kept, and how to try it again said
  fuzz TARGET --input FILE        one input alone, tried once
  lab up | list | clean           a laboratory to look around in; what laboratories are there; remove those nobody uses
  tidy                            the checks of style alone

Builds run as you; what needs root runs through sudo unless you are root already.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["demo", rest @ ..] => demo::play(rest),
        ["test", rest @ ..] => test::run_words(rest),
        ["kernels", rest @ ..] => kernels::run_words(rest),
        ["bench", rest @ ..] => bench::run_named(rest),
        ["fuzz", rest @ ..] => fuzz::run_words(rest),
        ["lab", rest @ ..] => lab::run_words(rest),
        ["tidy"] => tidy::run(),
        ["help" | "--help" | "-h"] => shell::say(USAGE),
        _ => Err(Failure::usage(USAGE)),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            failure.exit_code()
        }
    }
}
