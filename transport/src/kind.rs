//! What a stream is for: decides what waits for what, and how long a frame may be.

/// The kinds of streams between two nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StreamKind {
    /// Raft log entries, pipelined.
    Append,
    /// Raft votes and pre-votes.
    Vote,
    /// One Raft snapshot.
    Snapshot,
    /// Writes and reads on their way to the leader.
    Forward,
    /// Everything small between the nodes: readiness, attestations, certificates.
    Control,
}

impl StreamKind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Append, Self::Vote, Self::Snapshot, Self::Forward, Self::Control];

    /// The longest frame on a stream of this kind, in bytes (G15: what an authenticated peer can make this node hold).
    #[must_use]
    pub fn frame_bytes_max(self) -> usize {
        match self {
            Self::Append | Self::Snapshot | Self::Forward => crate::FRAME_BYTES_MAX,
            Self::Control => 1 << 20,
            Self::Vote => 64 << 10,
        }
    }

    /// Higher goes first when several streams have something to send.
    pub(crate) fn priority(self) -> i32 {
        match self {
            Self::Vote => 30,
            Self::Append => 20,
            Self::Forward | Self::Control => 10,
            Self::Snapshot => 0,
        }
    }

    /// The first byte on a stream.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Append => 1,
            Self::Vote => 2,
            Self::Snapshot => 3,
            Self::Forward => 4,
            Self::Control => 5,
        }
    }

    pub(crate) fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_name_one_kind_each() {
        for kind in StreamKind::ALL {
            assert_eq!(StreamKind::from_number(kind.number()), Some(kind));
        }
        assert_eq!(StreamKind::from_number(0), None);
        assert_eq!(StreamKind::from_number(6), None);
    }

    #[test]
    fn a_snapshot_holds_up_nothing() {
        assert!(StreamKind::Vote.priority() > StreamKind::Append.priority());
        for kind in [StreamKind::Append, StreamKind::Forward, StreamKind::Control] {
            assert!(kind.priority() > StreamKind::Snapshot.priority());
        }
    }
}
