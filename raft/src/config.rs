//! How a node takes part in consensus.

use std::{path::PathBuf, time::Duration};

use identity::NodeId;
use openraft::{Config, SnapshotPolicy};

/// Everything [`crate::Raft::start`] needs to know.
#[derive(Debug, Clone)]
pub struct RaftConfig {
    /// This node. A directory belongs to one node for good.
    pub me: NodeId,
    /// Where log, vote and snapshots live; created if missing.
    pub dir: PathBuf,
    /// Heartbeats and elections.
    pub timing: Timing,
    /// When the log is shortened.
    pub compaction: Compaction,
    /// How voters are chosen.
    pub autopilot: AutopilotConfig,
    /// Bytes that must be free where `dir` is. With less, nothing is written any more, until there is room (G8).
    pub disk_reserve_bytes: u64,
}

/// The default of [`RaftConfig::disk_reserve_bytes`].
const DISK_RESERVE_BYTES: u64 = 64 << 20;

impl RaftConfig {
    /// The defaults for a node and a directory.
    #[must_use]
    pub fn new(me: NodeId, dir: impl Into<PathBuf>) -> Self {
        Self {
            me,
            dir: dir.into(),
            timing: Timing::default(),
            compaction: Compaction::default(),
            autopilot: AutopilotConfig::default(),
            disk_reserve_bytes: DISK_RESERVE_BYTES,
        }
    }
}

/// Heartbeats and elections. The default suits a LAN: a killed leader is succeeded within 0.3 s, and a
/// follower that misses a few heartbeats disturbs nobody, because with pre-vote the others do not let it.
///
/// A follower that has heard nothing for `election_max` (the leader's lease) plus a random time between `election_min`
/// and `election_max` asks for votes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// Between two heartbeats of a leader.
    pub heartbeat: Duration,
    /// The shortest election timeout; longer than `heartbeat`.
    pub election_min: Duration,
    /// The longest election timeout, and how long a leader's lease lasts.
    pub election_max: Duration,
    /// How long unanswered entries may be on their way before their stream is given up and opened anew.
    pub append_stall: Duration,
    /// How long opening a stream to a peer may take.
    pub connect: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(30),
            election_min: Duration::from_millis(90),
            election_max: Duration::from_millis(150),
            append_stall: Duration::from_millis(1_500),
            connect: Duration::from_millis(1_000),
        }
    }
}

/// When the log is shortened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compaction {
    /// A snapshot is made after this many entries.
    pub snapshot_entries: u64,
    /// A snapshot is made after this many bytes of entries, even when they are few.
    pub snapshot_bytes: u64,
    /// Entries kept behind the snapshot, for followers that are a little late.
    pub keep_entries: u64,
    /// Entries in one message to a follower, at most.
    pub message_entries: u64,
}

impl Default for Compaction {
    fn default() -> Self {
        Self { snapshot_entries: 5_000, snapshot_bytes: 64 << 20, keep_entries: 1_000, message_entries: 512 }
    }
}

/// How voters are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AutopilotConfig {
    /// Whether this node, when it leads, changes the voters at all.
    pub enabled: bool,
    /// How often the leader looks.
    pub interval: Duration,
    /// How long a learner must have kept up before it may vote.
    pub stable_for: Duration,
    /// How many entries behind still counts as keeping up.
    pub lag_entries_max: u64,
    /// How long a voter must have been silent before a healthy learner takes its place.
    pub replace_after: Duration,
}

/// Voters, at most. More voters make every write wait for more disks.
pub const VOTERS_MAX: usize = 5;

impl Default for AutopilotConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            interval: Duration::from_millis(500),
            stable_for: Duration::from_secs(3),
            lag_entries_max: 200,
            replace_after: Duration::from_secs(120),
        }
    }
}

impl Timing {
    /// Who has not been heard of for so long is not counted on any more.
    pub(crate) fn silence(&self) -> Duration {
        self.election_max * 4
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl RaftConfig {
    /// The same, in openraft's words.
    pub(crate) fn to_openraft(&self) -> Result<Config, openraft::ConfigError> {
        let timing = &self.timing;
        let lease_and_election = timing.election_max * 2;
        Config {
            cluster_name: "hedgerow".to_owned(),
            heartbeat_interval: millis(timing.heartbeat),
            election_timeout_min: millis(timing.election_min),
            election_timeout_max: millis(timing.election_max),
            // A leader that lost its quorum pauses its heartbeats for a while, so that a connected quorum that still
            // hears it can elect another (openraft #2080).
            quorum_loss_probe_interval: Some(millis(lease_and_election)),
            enable_pre_vote: Some(true),
            // A restarted leader asks for votes again: what it had committed may be saved a little late.
            enable_leader_restore: Some(false),
            broadcast_submitted_on_append: Some(true),
            snapshot_policy: SnapshotPolicy::LogsSinceLast(self.compaction.snapshot_entries),
            max_in_snapshot_log_to_keep: self.compaction.keep_entries,
            replication_lag_threshold: self.compaction.snapshot_entries.saturating_mul(2),
            max_payload_entries: self.compaction.message_entries,
            purge_batch_size: 64,
            install_snapshot_timeout: 60_000,
            backoff: "20ms 50ms 100ms ...200ms".to_owned(),
            ..Config::default()
        }
        .validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_what_openraft_accepts() {
        let config = RaftConfig::new(NodeId::new(1).unwrap(), "/nowhere").to_openraft().unwrap();
        assert_eq!(config.enable_pre_vote, Some(true));
        assert!(config.quorum_loss_probe_interval.is_some());
    }

    #[test]
    fn timeouts_upside_down_are_refused() {
        let mut config = RaftConfig::new(NodeId::new(1).unwrap(), "/nowhere");
        config.timing.election_min = Duration::from_millis(10);
        assert!(config.to_openraft().is_err());
    }
}
