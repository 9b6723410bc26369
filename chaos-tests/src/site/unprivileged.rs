//! The agent as its systemd unit runs it: a user of its own, three capabilities, nothing else.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::LabError;
use crate::lab::Lab;

/// A user and group that nobody on this machine has: the kernel needs only the number.
const USER: u32 = 64_023;
/// What `deploy/systemd/hedgerow.service` gives, in setpriv's words.
const CAPABILITIES: &str = "+bpf,+net_admin,+perfmon";

/// A command that runs without root's rights.
pub(super) fn command(program: &Path, arguments: &[&str]) -> Command {
    let user = USER.to_string();
    let mut command = Command::new("setpriv");
    command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
    command.args(["--inh-caps", &format!("-all,{CAPABILITIES}"), "--ambient-caps", CAPABILITIES]);
    command.args(["--bounding-set", &format!("-all,{CAPABILITIES}")]);
    command.arg(program).args(arguments);
    command
}

/// Gives a file or folder to that user.
pub(super) fn give(path: &Path) -> Result<(), LabError> {
    chown(path, Some(USER), Some(USER)).map_err(LabError::io(format!("giving {} to the agent", path.display())))
}

/// A copy of the program where that user can reach it; the build's folder may be in somebody's home.
pub(super) fn within_reach(lab: &Lab, program: &Path) -> Result<PathBuf, LabError> {
    let copy = lab.make_dir("bin")?.join("hedgerow");
    let doing = || format!("copying {} to {}", program.display(), copy.display());
    fs::copy(program, &copy).map_err(LabError::io(doing()))?;
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o755)).map_err(LabError::io(doing()))?;
    Ok(copy)
}
