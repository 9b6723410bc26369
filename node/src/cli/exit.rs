//! What the shell is told.

use std::process::ExitCode;

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It was done.
    Done = 0,
    /// It was refused, or it failed.
    Failed = 1,
    /// The command line or the configuration is wrong.
    Usage = 2,
    /// The node is not ready, or cannot be reached.
    NotReady = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
