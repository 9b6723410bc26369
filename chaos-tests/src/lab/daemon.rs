//! A long-running process in a namespace: started, watched, paused, killed, ended.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};

use super::namespace::Namespace;
use super::signals;
use crate::{LabError, run, wait};

/// How many lines of its log an error about a daemon quotes.
const QUOTED_LINES: usize = 20;

/// A daemon. It is killed when this value is dropped, unless [`Daemon::forget`] was called.
pub struct Daemon {
    name: String,
    child: Child,
    log: PathBuf,
    forgotten: bool,
}

impl Daemon {
    /// Starts `command` in the namespace, in a process group of its own, with its output appended to `log`.
    pub(super) fn spawn(ns: &Namespace, name: &str, command: &Command, log: PathBuf) -> Result<Self, LabError> {
        let file = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(LabError::io(format!("opening {}", log.display())))?;
        let copy = file.try_clone().map_err(LabError::io("sharing a log file"))?;
        let mut inside = ns.command(&command.get_program().to_string_lossy(), &[]);
        inside.args(command.get_args()).stdin(Stdio::null()).stdout(file).stderr(copy).process_group(0);
        for (key, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(key, value),
                None => inside.env_remove(key),
            };
        }
        // `ip netns exec` becomes the program, so this is the daemon's own process id.
        let child = inside.spawn().map_err(|source| LabError::Start { command: run::describe(command), source })?;
        Ok(Self { name: name.to_owned(), child, log, forgotten: false })
    }

    /// Its name in the laboratory.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Where its output goes.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Fails, with the end of its log, when it does not run any more.
    pub fn check(&mut self) -> Result<(), LabError> {
        signals::wait_if_interrupted();
        match self.child.try_wait().map_err(LabError::io(format!("asking after {}", self.name)))? {
            None => Ok(()),
            Some(status) => Err(self.ended(status)),
        }
    }

    /// Stops it with SIGSTOP: it keeps its sockets and answers nothing.
    pub fn pause(&self) -> Result<(), LabError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Daemon::pause`].
    pub fn resume(&self) -> Result<(), LabError> {
        self.signal(Signal::CONT)
    }

    /// SIGKILL: it gets no chance to say goodbye.
    pub fn kill(mut self) -> Result<(), LabError> {
        self.end()
    }

    /// SIGTERM, then waits for its end; past the limit it is killed and that is an error.
    pub fn stop(mut self, limit: Duration) -> Result<ExitStatus, LabError> {
        self.signal(Signal::TERM)?;
        let waited =
            wait::until(&format!("{} to end after SIGTERM", self.name), limit, || match self.child.try_wait() {
                Ok(Some(status)) => Ok(status),
                Ok(None) => Err("it runs".to_owned()),
                Err(error) => Err(error.to_string()),
            });
        waited.map(|(status, _)| status)
    }

    /// Leaves it running when this value is dropped; the laboratory still ends it.
    pub fn forget(mut self) {
        self.forgotten = true;
    }

    fn signal(&self, signal: Signal) -> Result<(), LabError> {
        kill_process_group(Pid::from_child(&self.child), signal)
            .map_err(LabError::call(format!("sending {signal:?} to {}", self.name)))
    }

    fn end(&mut self) -> Result<(), LabError> {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return Ok(());
        }
        self.signal(Signal::KILL)?;
        self.child.wait().map(|_| ()).map_err(LabError::io(format!("waiting for {} to die", self.name)))
    }

    fn ended(&self, status: ExitStatus) -> LabError {
        LabError::DaemonEnded {
            daemon: self.name.clone(),
            status: status.to_string(),
            log: self.log.clone(),
            tail: tail(&self.log, QUOTED_LINES),
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if !self.forgotten {
            // The laboratory kills what is left in its namespaces anyway, and reports that.
            let _ = self.end();
        }
    }
}

/// The last lines of a file.
pub(super) fn tail(file: &Path, lines: usize) -> String {
    let text = fs::read(file).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default();
    let all: Vec<_> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
