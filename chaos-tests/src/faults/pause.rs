//! A process that keeps its sockets and memory and answers nothing, as on a host that is starved or being migrated.

use crate::LabError;
use crate::lab::Daemon;

/// A daemon under SIGSTOP; it goes on when this value is dropped.
#[must_use = "a paused daemon goes on when this value is dropped"]
pub struct Paused<'a> {
    daemon: &'a Daemon,
}

impl<'a> Paused<'a> {
    /// Pauses a daemon.
    pub fn new(daemon: &'a Daemon) -> Result<Self, LabError> {
        daemon.pause()?;
        Ok(Self { daemon })
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        // It can only fail when the daemon is gone, and then there is nothing to wake.
        let _ = self.daemon.resume();
    }
}
