//! How a node sees consensus.

use identity::NodeId;
use openraft::{Instant as _, ServerState, metrics::RaftMetrics as Metrics};
use serde::{Deserialize, Serialize};

use crate::types::C;

/// The part that a node plays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RaftState {
    /// Has the log, does not vote.
    Learner,
    /// Votes, and follows a leader.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Leads.
    Leader,
    /// Has ended.
    Stopped,
}

/// Consensus as one node sees it, now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RaftMetrics {
    /// The current term.
    pub term: u64,
    /// The leader, if one is known.
    pub leader: Option<NodeId>,
    /// The part that this node plays.
    pub state: RaftState,
    /// The index of the last entry in this node's log.
    pub last_log: Option<u64>,
    /// The index of the last entry that this node knows to be committed.
    pub committed: Option<u64>,
    /// The index of the last entry that is part of this node's state.
    pub applied: Option<u64>,
    /// The index of the last entry in this node's snapshot.
    pub snapshot: Option<u64>,
    /// Who votes.
    pub voters: Vec<NodeId>,
    /// Who has the log and does not vote.
    pub learners: Vec<NodeId>,
    /// On a leader: milliseconds since a quorum last answered it.
    pub millis_since_quorum_ack: Option<u64>,
    /// Why this node takes no part any more, if it does not. Take it out of service.
    pub fatal: Option<String>,
}

pub(crate) fn node_id(number: u64) -> Option<NodeId> {
    NodeId::new(number).ok()
}

impl From<&Metrics<C>> for RaftMetrics {
    fn from(metrics: &Metrics<C>) -> Self {
        let membership = metrics.membership_config.membership();
        let fatal = metrics.running_state.as_ref().err();
        Self {
            term: metrics.current_term,
            leader: metrics.current_leader.and_then(node_id),
            state: match metrics.state {
                _ if fatal.is_some() => RaftState::Stopped,
                ServerState::Learner => RaftState::Learner,
                ServerState::Follower => RaftState::Follower,
                ServerState::Candidate => RaftState::Candidate,
                ServerState::Leader => RaftState::Leader,
                ServerState::Shutdown => RaftState::Stopped,
            },
            last_log: metrics.last_log_index,
            committed: metrics.local_committed.map(|id| id.index),
            applied: metrics.last_applied.map(|id| id.index),
            snapshot: metrics.snapshot.map(|id| id.index),
            voters: membership.voter_ids().filter_map(node_id).collect(),
            learners: membership.learner_ids().filter_map(node_id).collect(),
            millis_since_quorum_ack: metrics
                .last_quorum_acked
                .map(|at| u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX)),
            fatal: fatal.map(ToString::to_string),
        }
    }
}
