//! One network namespace: a machine of the laboratory.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::signals;
use crate::{LabError, run};

/// Where `ip netns` keeps its handles.
const HANDLES: &str = "/run/netns";

/// A network namespace. It is deleted by the laboratory that made it, not by this value.
#[derive(Clone, Debug)]
pub struct Namespace {
    name: String,
    short: String,
}

impl Namespace {
    pub(super) fn create(name: String, short: &str) -> Result<Self, LabError> {
        run::tool("ip", &["netns", "add", &name])?;
        let namespace = Self { name, short: short.to_owned() };
        // Addresses are static and known to be unique: duplicate address detection would only cost two seconds each.
        for (key, value) in [("accept_dad", "0"), ("dad_transmits", "0"), ("accept_ra", "0")] {
            for scope in ["all", "default"] {
                namespace.sysctl(&format!("net.ipv6.conf.{scope}.{key}"), value)?;
            }
        }
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The name on this machine, as `ip netns exec` wants it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The name inside the laboratory.
    pub fn short(&self) -> &str {
        &self.short
    }

    /// `ip -n NAMESPACE …`.
    pub fn ip(&self, arguments: &[&str]) -> Result<String, LabError> {
        let mut all = vec!["-n", self.name.as_str()];
        all.extend_from_slice(arguments);
        run::tool("ip", &all)
    }

    /// Sets a kernel parameter of this namespace.
    pub fn sysctl(&self, key: &str, value: &str) -> Result<(), LabError> {
        run::checked(self.command("sysctl", &["-qw", &format!("{key}={value}")]), run::TOOL_SECONDS_MAX).map(|_| ())
    }

    /// A command that will run in this namespace, with a `/sys` that shows this namespace's interfaces.
    pub fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name, program]).args(arguments);
        command
    }

    /// Runs a closure on a thread that lives in this namespace: sockets it opens belong here.
    pub fn within<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> Result<T, LabError> {
        signals::wait_if_interrupted();
        let path = PathBuf::from(HANDLES).join(&self.name);
        let handle = File::open(&path).map_err(LabError::io(format!("opening the namespace {}", path.display())))?;
        let answer = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(handle.as_fd(), Some(LinkNameSpaceType::Network))
                    .map_err(LabError::call(format!("entering the namespace {}", self.name)))?;
                Ok(closure())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        signals::wait_if_interrupted();
        answer
    }
}

/// Deletes a namespace; one that is not there is no error.
pub(super) fn delete(name: &str) -> Result<(), LabError> {
    if !PathBuf::from(HANDLES).join(name).exists() {
        return Ok(());
    }
    run::tool("ip", &["netns", "del", name]).map(|_| ())
}

/// The processes whose network namespace this is, wherever they come from.
pub(super) fn pids(name: &str) -> Vec<i32> {
    if !PathBuf::from(HANDLES).join(name).exists() {
        return Vec::new();
    }
    let text = run::tool("ip", &["netns", "pids", name]).unwrap_or_default();
    // A thread that probes is part of this very process, which is not to be killed.
    let own = std::process::id();
    text.lines().filter_map(|line| line.trim().parse().ok()).filter(|pid: &i32| pid.unsigned_abs() != own).collect()
}

/// The names of all namespaces that begin with `prefix`.
pub(super) fn list(prefix: &str) -> Vec<String> {
    let entries = std::fs::read_dir(HANDLES).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| name.starts_with(prefix));
    names.sort();
    names
}
