//! Structured logs on standard error, as text for people or JSON for programs.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt, util::SubscriberInitExt};

use crate::config::{LogConfig, LogFormat};

/// Why logging could not be set up. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter is not one.
    #[error("`{filter}` is not a log filter: {source}; write a level such as `info`, or `info,raft=debug`")]
    Filter {
        /// What was given.
        filter: String,
        /// What is wrong with it.
        source: tracing_subscriber::filter::ParseError,
    },
    /// The process logs already.
    #[error("logging is set up already: {0}")]
    Twice(tracing_subscriber::util::TryInitError),
}

/// Sets up the logs of this process, once.
///
/// # Errors
/// The filter is not one, or the process logs already.
pub fn init(config: &LogConfig) -> Result<(), LoggingError> {
    let filter: EnvFilter =
        config.filter.parse().map_err(|source| LoggingError::Filter { filter: config.filter.clone(), source })?;
    let builder = fmt().with_env_filter(filter).with_writer(io::stderr);
    let done = match config.format {
        LogFormat::Text => builder.with_ansi(io::stderr().is_terminal()).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).finish().try_init(),
    };
    done.map_err(LoggingError::Twice)
}
