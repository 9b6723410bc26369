//! Compiles the data path's C for this machine, watched by the sanitizers and seen by the fuzzer, and links it into the target that
//! runs it. The fuzzer is the one that comes with clang.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

const SOURCE: &str = "../dataplane/bpf";
const SANITIZERS: &str = "address,undefined";
/// `cargo xtask fuzz` sets it. Without it the targets can be checked, and not linked.
const FUZZ: &str = "HEDGEROW_FUZZ";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    println!("cargo::rerun-if-env-changed={FUZZ}");
    if env::var_os(FUZZ).is_none() {
        return ExitCode::SUCCESS;
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    let object = out.join("native.o");
    if let Err(complaint) = compile(&object) {
        println!("cargo::error={}", complaint.replace('\n', " "));
        return ExitCode::FAILURE;
    }
    println!("cargo::rustc-link-arg-bin=judge={}", object.display());
    println!("cargo::rustc-link-arg-bins=-fsanitize=fuzzer,{SANITIZERS}");
    ExitCode::SUCCESS
}

fn compile(object: &Path) -> Result<(), String> {
    let native = Path::new(SOURCE).join("native");
    let mut command = Command::new(env::var("CLANG").unwrap_or_else(|_| "clang".to_owned()));
    command.args(["-O1", "-gline-tables-only", "-fno-omit-frame-pointer", "-DHR_NATIVE", "-I"]);
    command.arg(native.join("include"));
    command
        .arg(format!("-fsanitize=fuzzer-no-link,{SANITIZERS}"))
        .args(["-fno-sanitize-recover=all", "-fno-sanitize=alignment"]);
    command.arg("-c").arg(native.join("native.c")).arg("-o").arg(object);
    let output = command.output().map_err(|error| format!("clang could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("bpf/native does not compile:\n{}", String::from_utf8_lossy(&output.stderr)))
}
