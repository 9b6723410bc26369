//! Times and bounds of an endpoint. The defaults suit a cluster on one network; tests shorten them.

use std::time::Duration;

/// Times and bounds of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// How long a connection may take to be made, dialling or accepting, proof and greeting included.
    pub handshake_timeout: Duration,
    /// How long silence may last before a connection counts as lost.
    pub idle_timeout: Duration,
    /// How often a connection without traffic is kept alive; several must fit into `idle_timeout`.
    pub keep_alive: Duration,
    /// After a failed dial, how long the failure is the answer before another attempt is made.
    pub redial_pause: Duration,
    /// How many incoming connections may be in their handshake at once; from half of it on, diallers must prove their
    /// address first.
    pub handshakes_max: usize,
    /// How many forming or joining connections may be open at once.
    pub forming_max: usize,
    /// How many streams one peer may have open towards this node.
    pub streams_per_peer_max: u32,
    /// How many arrivals (streams, connections) wait for the owner of the [`crate::Inbox`]; the next ones wait in QUIC.
    pub arrivals_queued_max: usize,
    /// How many datagrams wait for the owner of the [`crate::Inbox`]; the next ones are dropped and counted.
    pub datagrams_queued_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_millis(2_000),
            idle_timeout: Duration::from_millis(3_000),
            keep_alive: Duration::from_millis(700),
            redial_pause: Duration::from_millis(150),
            handshakes_max: 64,
            forming_max: 128,
            streams_per_peer_max: 128,
            arrivals_queued_max: 256,
            datagrams_queued_max: 1_024,
        }
    }
}
