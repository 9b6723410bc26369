//! What the laboratory needs of a machine, and the words for what is missing.

use std::io::Write;
use std::path::PathBuf;

/// The programs that the laboratory runs, each with the Debian package it comes from.
pub const TOOLS: [(&str, &str); 7] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("sysctl", "procps"),
    ("setpriv", "util-linux"),
    ("chrt", "util-linux"),
    ("keepalived", "keepalived"),
    ("haproxy", "haproxy"),
];

/// Where programs are looked for besides `PATH`: a user's `PATH` often lacks the administrator's folders.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// Why the laboratory cannot run here, if it cannot.
pub fn missing() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root (network namespaces): run it with sudo".to_owned());
    }
    let absent: Vec<_> = TOOLS.iter().filter(|(tool, _)| find(tool).is_none()).collect();
    if !absent.is_empty() {
        let packages: Vec<_> = absent.iter().map(|(_, package)| *package).collect();
        return Some(format!(
            "needs the packages {}: run `cargo xtask test`, which installs them",
            packages.join(", ")
        ));
    }
    None
}

/// Where a program is, if it is installed.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(SYSTEM_FOLDERS).map(|folder| PathBuf::from(folder).join(program)).find(|file| file.is_file())
}

/// The `hedgerow` program: `HEDGEROW_BIN`, or beside the running test or demonstration in the target folder.
pub fn peer_program() -> Result<PathBuf, String> {
    if let Some(named) = std::env::var_os("HEDGEROW_BIN") {
        return Ok(named.into());
    }
    let here = std::env::current_exe().map_err(|error| format!("cannot tell where this program is: {error}"))?;
    here.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("hedgerow"))
        .find(|file| file.is_file())
        .ok_or_else(|| "needs the program `hedgerow`: run `cargo build -p node` first, or set HEDGEROW_BIN".to_owned())
}

/// Prints why a test does nothing here, past the test harness's capture, so that every run shows what it left out.
pub fn say_skipped(test: &str, reason: &str) {
    // A closed standard output is no reason to fail a test that does nothing.
    let _ = writeln!(std::io::stdout(), "skipped: {test}: {reason}");
}
