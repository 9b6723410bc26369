//! Cargo, called the way every command here calls it.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Command;

use crate::failure::Failure;
use crate::shell::{output, run};

/// The root of the repository.
pub(crate) fn repository() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
    manifest.parent().map_or(manifest.clone(), PathBuf::from)
}

/// A call of the Cargo that called us.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let program = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(program);
    command.args(arguments).current_dir(repository());
    // What Cargo set for this program must not leak into the programs that it builds and runs.
    command.env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_PKG_NAME");
    command
}

/// Builds, and returns the folder of the finished programs.
pub(crate) fn build(arguments: &[&str]) -> Result<PathBuf, Failure> {
    let mut all = vec!["build", "--locked"];
    all.extend_from_slice(arguments);
    run(&mut cargo(&all))?;
    Ok(target_dir().join(if arguments.contains(&"--release") { "release" } else { "debug" }))
}

/// Cargo's target folder: `CARGO_TARGET_DIR`, or `target` in the repository.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), |dir| repository().join(dir))
}

/// The machine for which `rustc` builds when nothing else is said.
pub(crate) fn host() -> Result<String, Failure> {
    let version = output("rustc", &["-vV"]).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| Failure::other("`rustc -vV` does not name its host"))
}
