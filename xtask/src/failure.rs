//! Why a command did not do what it was asked.

use std::fmt;
use std::process::ExitCode;

/// A failure as a sentence for the person at the terminal.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// A program that was run failed; it has said why itself.
    Command {
        /// The command line.
        line: String,
        /// How it ended.
        status: String,
    },
    /// Anything else, as a sentence.
    Other(String),
}

impl Failure {
    pub(crate) fn usage(text: &str) -> Self {
        Self::Usage(text.to_owned())
    }

    pub(crate) fn other(text: impl Into<String>) -> Self {
        Self::Other(text.into())
    }

    /// 2 for a wrong command line, 1 for the rest.
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage(_) => ExitCode::from(2),
            Self::Command { .. } | Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) | Self::Other(text) => f.write_str(text),
            Self::Command { line, status } => write!(f, "`{line}` failed ({status})"),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}
