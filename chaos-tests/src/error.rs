//! What can go wrong in the laboratory itself, as opposed to what a probe finds out.

use std::path::PathBuf;
use std::time::Duration;

/// A failure of the laboratory. Nothing is rolled back by the call that returns it: dropping the [`crate::lab::Lab`] is.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A program could not be started at all.
    #[error("could not start `{command}`: {source}; is its package installed?")]
    Start {
        /// The command line.
        command: String,
        /// Why.
        source: std::io::Error,
    },
    /// A program ended with an exit code other than 0.
    #[error("`{command}` ended with {code}: {output}")]
    Failed {
        /// The command line.
        command: String,
        /// Exit code, or the signal that ended it.
        code: String,
        /// What it printed, both streams, shortened.
        output: String,
    },
    /// A program did not end in time and was killed.
    #[error("`{command}` did not end within {limit:?} and was killed")]
    TooSlow {
        /// The command line.
        command: String,
        /// How long it was given.
        limit: Duration,
    },
    /// A condition that was waited for did not come true.
    #[error("waited {waited:?} for {what}; last seen: {last}")]
    Timeout {
        /// The condition, as words that follow "waited for".
        what: String,
        /// For how long.
        waited: Duration,
        /// The last answer of the condition.
        last: String,
    },
    /// A file or a system call failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// An answer that cannot be read.
    #[error("{what} answered something unexpected: {answer}")]
    Unexpected {
        /// Who was asked for what.
        what: String,
        /// The answer, shortened.
        answer: String,
    },
    /// A daemon that should run has ended.
    #[error("{daemon} ended by itself ({status}); the end of {log}:\n{tail}", log = log.display())]
    DaemonEnded {
        /// Its name in the laboratory.
        daemon: String,
        /// Exit status.
        status: String,
        /// Its log file.
        log: PathBuf,
        /// The last lines of the log.
        tail: String,
    },
}

impl LabError {
    /// An I/O error with the words for what was being done.
    pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { doing: doing.into(), source }
    }

    /// A system call's error with the words for what was being done.
    pub(crate) fn call(doing: impl Into<String>) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::Io { doing: doing.into(), source: errno.into() }
    }
}
