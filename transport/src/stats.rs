//! What an endpoint counts, for metrics and `status`.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use identity::NodeId;

/// Counts since the endpoint was bound.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Incoming connections that were turned away or failed in their handshake.
    pub handshakes_refused: u64,
    /// Incoming connections that did not finish their handshake in time.
    pub handshakes_timed_out: u64,
    /// Dials that failed.
    pub dials_failed: u64,
    /// Datagrams dropped because the inbox was full.
    pub datagrams_dropped: u64,
    /// Connections closed for a frame above the limit.
    pub frames_too_long: u64,
    /// Proofs of a secret that were refused.
    pub proofs_refused: u64,
}

/// A member with whom there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerStatus {
    /// The member.
    pub node: NodeId,
    /// Its address on the connection.
    pub addr: SocketAddr,
    /// Whether this node dialled.
    pub dialled: bool,
    /// The current estimate of the round trip.
    pub round_trip: Duration,
    /// Packets that were lost on the way there.
    pub packets_lost: u64,
    /// The largest UDP payload that reaches the member unfragmented.
    pub payload_bytes_max: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) handshakes_refused: AtomicU64,
    pub(crate) handshakes_timed_out: AtomicU64,
    pub(crate) dials_failed: AtomicU64,
    pub(crate) datagrams_dropped: AtomicU64,
    pub(crate) frames_too_long: AtomicU64,
    pub(crate) proofs_refused: AtomicU64,
}

impl Counters {
    pub(crate) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            handshakes_refused: read(&self.handshakes_refused),
            handshakes_timed_out: read(&self.handshakes_timed_out),
            dials_failed: read(&self.dials_failed),
            datagrams_dropped: read(&self.datagrams_dropped),
            frames_too_long: read(&self.frames_too_long),
            proofs_refused: read(&self.proofs_refused),
        }
    }
}
