//! Compiles the BPF programs with clang; the objects are embedded in the library.

use std::{
    env,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// Each becomes an object of its own.
const PROGRAMS: [&str; 2] = ["hedgerow", "bench"];
/// Headers of the system without which nothing compiles, and the Debian package that has them.
const HEADERS: [(&str, &str); 2] = [("bpf/bpf_helpers.h", "libbpf-dev"), ("linux/bpf.h", "linux-libc-dev")];

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=bpf");
    println!("cargo::rerun-if-env-changed=CLANG");
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    // Tests compile the same C for this machine.
    println!("cargo::rustc-env=HR_CLANG={clang}");
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for build scripts"));
    match check_tools(&clang).and_then(|()| PROGRAMS.iter().try_for_each(|name| compile(&clang, name, &out))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(complaint) => {
            println!("cargo::error={}", complaint.replace('\n', " "));
            eprintln!("{complaint}");
            ExitCode::FAILURE
        }
    }
}

fn check_tools(clang: &str) -> Result<(), String> {
    let version = Command::new(clang).arg("--version").output();
    if !version.is_ok_and(|output| output.status.success()) {
        return Err(format!(
            "the BPF programs need clang and `{clang}` does not run; install it (Debian, Ubuntu: apt-get install clang) or set CLANG"
        ));
    }
    for (header, package) in HEADERS {
        if !include_paths().iter().any(|path| path.join(header).exists()) {
            return Err(format!(
                "the BPF programs need <{header}>; install it (Debian, Ubuntu: apt-get install {package}; Fedora: libbpf-devel kernel-headers)"
            ));
        }
    }
    Ok(())
}

/// Where the system keeps headers; the ones of the architecture hold <asm/types.h>, which the BPF target does not search.
fn include_paths() -> Vec<PathBuf> {
    let arch = env::var("CARGO_CFG_TARGET_ARCH").unwrap_or_default();
    vec![PathBuf::from("/usr/include"), PathBuf::from(format!("/usr/include/{arch}-linux-gnu"))]
}

fn compile(clang: &str, name: &str, out: &Path) -> Result<(), String> {
    let source = format!("bpf/{name}.bpf.c");
    let mut command = Command::new(clang);
    command.args(["-O2", "-g", "-Wall", "-Wextra", "-Werror", "-target", "bpf", "-mcpu=v3"]);
    command.args(include_paths().iter().map(|path| format!("-I{}", path.display())));
    // Paths of the build machine have no place in debug information.
    command.arg(format!("-ffile-prefix-map={}=.", env::var("CARGO_MANIFEST_DIR").unwrap_or_default()));
    command.args(["-c", &source, "-o"]).arg(out.join(format!("{name}.bpf.o")));
    let output = command.output().map_err(|error| format!("{clang} could not be started: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{source} does not compile:\n{}", String::from_utf8_lossy(&output.stderr)))
}
