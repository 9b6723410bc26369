//! How fast the cluster probes, suspects and talks.

use std::time::Duration;

/// The pace of a cluster. Every node of a cluster runs the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// One member is probed in each such interval; a probe that is unanswered at its end makes the member suspect.
    pub probe_interval: Duration,
    /// How long a direct answer may take before others are asked to probe; shorter than `probe_interval`.
    pub probe_timeout: Duration,
    /// How long a suspect has to show that it lives before it is down.
    pub suspect_for: Duration,
    /// How many others are asked to probe a member that did not answer.
    pub indirect_probes: usize,
    /// How many times a node passes on one change of membership.
    pub transmissions: u8,
    /// How often changes of membership are sent to a few members, while there are any to send.
    pub gossip_interval: Duration,
    /// How often the whole list of members is fetched from one of them.
    pub exchange_interval: Duration,
    /// How often members that are down, and seeds not yet heard, are looked for. This is what heals a partition.
    pub announce_interval: Duration,
    /// The shortest time between two versions of a node's metadata; changes in between are told together.
    pub meta_interval: Duration,
    /// How long a change of nothing but the applied index may wait.
    pub meta_lazy_interval: Duration,
}

impl Default for Config {
    /// For a LAN: a failure is seen by all of five nodes in at most 1.6 s, mostly in about one.
    fn default() -> Self {
        Self {
            probe_interval: Duration::from_millis(200),
            probe_timeout: Duration::from_millis(90),
            suspect_for: Duration::from_millis(600),
            indirect_probes: 3,
            transmissions: 10,
            gossip_interval: Duration::from_millis(100),
            exchange_interval: Duration::from_secs(10),
            announce_interval: Duration::from_secs(1),
            meta_interval: Duration::from_millis(100),
            meta_lazy_interval: Duration::from_millis(500),
        }
    }
}
