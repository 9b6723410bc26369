//! `cargo xtask fuzz`: the fuzz targets of `fuzz/`.
//!
//! Without cargo-fuzz: the fuzzer is clang's own, so that the C is under AddressSanitizer while Rust stays stable, and that takes a
//! linker and flags that cargo-fuzz has no word for.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use crate::build::{cargo, host, repository, target_dir};
use crate::failure::Failure;
use crate::machine::Root;
use crate::packages::{self, BUILD, SANITIZERS};
use crate::shell::{run, say};

/// A fuzz target, and the bounds that one input must keep.
struct Target {
    name: &'static str,
    what: &'static str,
    /// Longest input that is tried, in bytes.
    input_bytes_max: usize,
}

const TARGETS: [Target; 2] = [
    Target {
        name: "judge",
        what: "the programs of the data path, compiled for this machine, against the userspace enforcer",
        input_bytes_max: 4_096,
    },
    Target {
        name: "documents",
        what: "arbitrary bytes as the text of a policy: read, checked, compiled, classified",
        input_bytes_max: 4_096,
    },
];

/// For how long each target runs if nothing else is said, in seconds.
const SECONDS: &str = "60";
/// How long one input may take, in seconds.
const INPUT_SECONDS_MAX: usize = 10;
/// Memory that a target may take, in MiB.
const MEMORY_MIB_MAX: usize = 4_096;

/// Coverage for libFuzzer in Rust code: what cargo-fuzz gives the compiler, all of it stable.
const COVERAGE: [&str; 6] = [
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Clink-dead-code",
];

/// What was asked for.
#[derive(Debug, PartialEq, Eq)]
struct Wish<'a> {
    target: Option<&'a str>,
    seconds: &'a str,
    /// One input, tried once, and no other.
    input: Option<&'a str>,
}

/// The command.
pub(crate) fn run_words(words: &[&str]) -> Result<(), Failure> {
    let wish = Wish::of(words).ok_or_else(|| Failure::Usage(usage()))?;
    let targets: Vec<&Target> = TARGETS.iter().filter(|one| wish.target.is_none_or(|name| name == one.name)).collect();
    if targets.is_empty() || (wish.input.is_some() && targets.len() > 1) {
        return Err(Failure::Usage(usage()));
    }
    packages::install(Root::find(), &[BUILD, SANITIZERS])?;
    targets.into_iter().try_for_each(|target| {
        let program = build(target)?;
        match wish.input {
            Some(input) => run(watched(&program).arg(absolute(input)?)),
            None => fuzz(target, &program, wish.seconds),
        }
    })
}

impl<'a> Wish<'a> {
    fn of(words: &[&'a str]) -> Option<Wish<'a>> {
        let mut wish = Wish { target: None, seconds: SECONDS, input: None };
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--seconds" => {
                    let number = words.next().filter(|number| number.parse::<u32>().is_ok_and(|number| number > 0));
                    wish.seconds = number?;
                }
                "--input" => wish.input = Some(words.next()?),
                name if wish.target.is_none() && !name.starts_with('-') => wish.target = Some(name),
                _ => return None,
            }
        }
        Some(wish)
    }
}

fn usage() -> String {
    let lines = TARGETS.iter().map(|target| format!("  {:10} {}", target.name, target.what));
    let lines = lines.collect::<Vec<_>>().join("\n");
    format!("usage: cargo xtask fuzz [TARGET] [--seconds N] | cargo xtask fuzz TARGET --input FILE\n{lines}")
}

/// The finished program of a target.
fn build(target: &Target) -> Result<PathBuf, Failure> {
    let host = host()?;
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let flags = [&COVERAGE[..], &[&format!("-Clinker={clang}")]].concat().join(" ");
    let mut command = cargo(&["build", "--locked", "--release", "--manifest-path", "fuzz/Cargo.toml"]);
    // With a target of its own, the flags are for it alone and not for build scripts.
    command.args(["--target", &host, "--target-dir"]).arg(target_dir()).args(["--bin", target.name]);
    command.env("HEDGEROW_FUZZ", "1").env("RUSTFLAGS", flags).env_remove("CARGO_ENCODED_RUSTFLAGS");
    run(&mut command)?;
    Ok(target_dir().join(host).join("release").join(target.name))
}

/// A program that ends with whatever a sanitizer finds. Leaks are none: worlds live as long as the process.
fn watched(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("ASAN_OPTIONS", "detect_leaks=0").env("UBSAN_OPTIONS", "print_stacktrace=1");
    command.arg(format!("-timeout={INPUT_SECONDS_MAX}")).arg(format!("-rss_limit_mb={MEMORY_MIB_MAX}"));
    command
}

fn fuzz(target: &Target, program: &Path, seconds: &str) -> Result<(), Failure> {
    let folder = |kind: &str| -> Result<PathBuf, Failure> {
        let folder = target_dir().join("fuzz").join(target.name).join(kind);
        fs::create_dir_all(&folder)?;
        Ok(folder)
    };
    let (seeds, corpus, findings) = (folder("seeds")?, folder("corpus")?, folder("findings")?);
    say(format!("{}: {}, for {seconds} seconds", target.name, target.what))?;
    let began = SystemTime::now();
    let mut command = watched(program);
    command.env("HEDGEROW_FUZZ_SEEDS", &seeds).current_dir(repository());
    command.arg(format!("-max_total_time={seconds}")).arg(format!("-max_len={}", target.input_bytes_max));
    command.arg(format!("-artifact_prefix={}/", findings.display())).args(["-print_final_stats=1", "-verbosity=1"]);
    run(command.arg(corpus).arg(seeds)).map_err(|failure| explain(target, &findings, began, &failure))
}

/// Where the input is that did it, and how to see it again.
fn explain(target: &Target, findings: &Path, began: SystemTime, failure: &Failure) -> Failure {
    let new = written_since(findings, began);
    let name = target.name;
    let line = |file: &PathBuf| format!("\n  {0}\n    cargo xtask fuzz {name} --input {0}", file.display());
    let lines: String = new.iter().map(line).collect();
    Failure::other(match new.len() {
        0 => format!("{name}: {failure}; no input was kept, so it failed before the first: see above"),
        _ => format!("{name}: the fuzzer has found something. The input, and how to try it again:{lines}"),
    })
}

/// What was written into a folder since then, also over a file of the same name: an input is named by its content.
fn written_since(folder: &Path, began: SystemTime) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let new = files.filter(|file| file.metadata().and_then(|data| data.modified()).is_ok_and(|time| time >= began));
    new.map(|file| file.path()).collect()
}

fn absolute(file: &str) -> Result<PathBuf, Failure> {
    fs::canonicalize(file).map_err(|error| Failure::other(format!("the input {file} cannot be read: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood_or_refused() {
        let wish = Wish::of(&["judge", "--seconds", "5"]);
        assert_eq!(wish, Some(Wish { target: Some("judge"), seconds: "5", input: None }));
        assert_eq!(Wish::of(&[]).map(|wish| wish.seconds), Some(SECONDS));
        assert_eq!(Wish::of(&["--seconds", "soon"]), None);
        assert_eq!(Wish::of(&["judge", "documents"]), None);
    }
}
