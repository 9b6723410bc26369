//! Who we are on this machine, and how to do what needs root.

use std::env;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// Folders that a user's `PATH` often lacks.
const SYSTEM_FOLDERS: [&str; 3] = ["/usr/sbin", "/sbin", "/usr/local/sbin"];

/// How what needs root is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    /// We are root.
    Already,
    /// Through sudo.
    Sudo,
    /// Not at all.
    No,
}

impl Root {
    /// Finds out. A password is asked for only when there is somebody to ask.
    pub(crate) fn find() -> Self {
        if effective_user() == Some(0) {
            return Self::Already;
        }
        if find("sudo").is_none() {
            return Self::No;
        }
        let asks = std::io::stdin().is_terminal() && env::var_os("CI").is_none();
        if shell::succeeds("sudo", &["-n", "true"]) || (asks && shell::succeeds("sudo", &["-v"])) {
            Self::Sudo
        } else {
            Self::No
        }
    }

    /// A command that runs with root's rights; `None` when there is no way.
    pub(crate) fn command(self, program: impl AsRef<Path>) -> Option<Command> {
        match self {
            Self::Already => Some(Command::new(program.as_ref())),
            Self::Sudo => {
                let mut command = Command::new("sudo");
                command.arg("-E").arg(program.as_ref());
                Some(command)
            }
            Self::No => None,
        }
    }
}

/// Where a program is, if it is installed.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var("PATH").unwrap_or_default();
    path.split(':').chain(SYSTEM_FOLDERS).map(|folder| Path::new(folder).join(program)).find(|file| file.is_file())
}

fn effective_user() -> Option<u32> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let users = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    users.split_whitespace().nth(1)?.parse().ok()
}
