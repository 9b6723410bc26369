//! The numbers with which a connection is closed on purpose, and what is known about one that ended.

use identity::NodeId;
use quinn::{ConnectionError, VarInt};

/// Why this node closed a connection; the peer receives number and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseCode {
    /// Nothing more to say.
    Done,
    /// The pair has another connection, which stays.
    Duplicate,
    /// The peer's node or key is denied.
    Denied,
    /// The peer sent a frame above the limit.
    FrameTooLong,
    /// The proof of a secret was refused.
    FormRefused,
    /// The peer broke the protocol.
    Protocol,
    /// The peer took too long.
    TimedOut,
    /// This node's credentials changed and the peer's certificate does not satisfy them.
    Untrusted,
    /// This node goes down or leaves.
    Shutdown,
}

impl CloseCode {
    /// Every code.
    pub const ALL: [Self; 9] = [
        Self::Done,
        Self::Duplicate,
        Self::Denied,
        Self::FrameTooLong,
        Self::FormRefused,
        Self::Protocol,
        Self::TimedOut,
        Self::Untrusted,
        Self::Shutdown,
    ];

    fn number(self) -> u32 {
        match self {
            Self::Done => 0,
            Self::Duplicate => 1,
            Self::Denied => 2,
            Self::FrameTooLong => 3,
            Self::FormRefused => 4,
            Self::Protocol => 5,
            Self::TimedOut => 6,
            Self::Untrusted => 7,
            Self::Shutdown => 8,
        }
    }

    pub(crate) fn close(self, connection: &quinn::Connection, reason: &str) {
        connection.close(VarInt::from_u32(self.number()), reason.as_bytes());
    }

    /// The code with which the peer closed the connection, if it did so on purpose.
    pub(crate) fn of(error: &ConnectionError) -> Option<Self> {
        let ConnectionError::ApplicationClosed(close) = error else { return None };
        Self::ALL.into_iter().find(|code| u64::from(code.number()) == close.error_code.into_inner())
    }
}

/// The peer's own words when it closed the connection, or ours for how it ended.
pub(crate) fn reason_of(error: &ConnectionError) -> String {
    let said = match error {
        ConnectionError::ApplicationClosed(close) => &close.reason,
        ConnectionError::ConnectionClosed(close) => &close.reason,
        ConnectionError::TimedOut => return "no answer before the time-out".to_owned(),
        ConnectionError::Reset => return "the peer was restarted".to_owned(),
        ConnectionError::LocallyClosed => return "this node closed it".to_owned(),
        other => return other.to_string(),
    };
    if said.is_empty() { error.to_string() } else { printable(said) }
}

/// A foreign text made safe for a log line, without the wrapping that the TLS library puts around this crate's own words.
fn printable(text: &[u8]) -> String {
    const SHOWN_CHARS_MAX: usize = 300;
    const WRAPPING: (&str, &str) = ("invalid peer certificate: Other(OtherError(", "))");
    let text = String::from_utf8_lossy(text);
    let own = text.strip_prefix(WRAPPING.0).and_then(|rest| rest.strip_suffix(WRAPPING.1));
    own.unwrap_or(&text).chars().take(SHOWN_CHARS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// Who is at the other end, for messages: a node once it is known, else an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Far {
    Node(NodeId),
    Address(std::net::SocketAddr),
}

impl std::fmt::Display for Far {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Node(node) => node.fmt(f),
            Self::Address(address) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_distinct() {
        let numbers: std::collections::BTreeSet<u32> = CloseCode::ALL.iter().map(|code| code.number()).collect();
        assert_eq!(numbers.len(), CloseCode::ALL.len());
    }

    #[test]
    fn foreign_texts_cannot_forge_log_lines() {
        assert_eq!(printable(b"a\nWARN b\x1b[31m\xff"), "a WARN b [31m\u{fffd}");
        assert_eq!(printable(&[b'x'; 1000]).len(), 300);
    }
}
