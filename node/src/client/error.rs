//! Why a request had no answer, or not the one hoped for.

use std::{error::Error, io};

use crate::view::ErrorBody;

/// Why a request had no answer, or not the one hoped for.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The client cannot be set up. Nothing was sent.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(reqwest::Error),
    /// Nobody listens. Nothing was sent.
    #[error(
        "cannot reach the agent at {agent}: {reason}; see `systemctl status hedgerow`, or name its socket with --socket"
    )]
    Unreachable {
        /// Its socket or address.
        agent: String,
        /// What the system said.
        reason: String,
    },
    /// The caller may not use the socket. Nothing was sent.
    #[error("you may not use the agent's socket {agent}; run this as root, or as a member of the socket's group")]
    NotAllowed {
        /// Its socket or address.
        agent: String,
    },
    /// The agent answered that it did not do it.
    #[error("{}", .0.message)]
    Refused(Box<ErrorBody>),
    /// What answers is not an agent.
    #[error("what answers at {agent} is not a Hedgerow agent (status {status}); name its socket with --socket")]
    NotHedgerow {
        /// Its socket or address.
        agent: String,
        /// The HTTP status that it gave.
        status: u16,
    },
    /// The agent took the request and did not answer in time; it may have been done.
    #[error(
        "the agent at {agent} did not answer in time; the request may have been done; see `systemctl status hedgerow`"
    )]
    Silent {
        /// Its socket or address.
        agent: String,
    },
    /// The connection broke after the request was sent; it may have been done.
    #[error("the connection to the agent broke before it answered: {0}; the request may have been done")]
    Broken(reqwest::Error),
    /// The answer has a form that this client does not know; the request was done.
    #[error("the agent's answer is not understood: {0}; the agent and this program are probably of different versions")]
    Unreadable(serde_json::Error),
}

impl ClientError {
    /// What a failure to send means.
    pub(super) fn from_send(agent: &str, error: reqwest::Error) -> Self {
        if !error.is_connect() {
            return if error.is_timeout() { Self::Silent { agent: agent.to_owned() } } else { Self::Broken(error) };
        }
        let cause = io_cause(&error);
        match cause.map(io::Error::kind) {
            Some(io::ErrorKind::PermissionDenied) => Self::NotAllowed { agent: agent.to_owned() },
            kind => {
                let reason = match kind {
                    Some(io::ErrorKind::NotFound) => "there is no such socket".to_owned(),
                    Some(io::ErrorKind::ConnectionRefused) => "nobody listens there".to_owned(),
                    _ => cause.map_or_else(|| error.to_string(), ToString::to_string),
                };
                Self::Unreachable { agent: agent.to_owned(), reason }
            }
        }
    }
}

/// The system's own error under layers of others.
fn io_cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a io::Error> {
    let mut cause: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(current) = cause {
        if let Some(found) = current.downcast_ref::<io::Error>() {
            return Some(found);
        }
        cause = current.source();
    }
    None
}
