//! The numbers of a node at the instant of a scrape.

/// Packets and bytes that a rule decided on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleCounter {
    /// The policy, or `default` for the default action.
    pub policy: String,
    /// The rule.
    pub rule: String,
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// `allow` or `deny`.
    pub action: &'static str,
    /// Packets since the agent started, or since the generation went live that it took over.
    pub packets: u64,
    /// Bytes of those packets.
    pub bytes: u64,
}

/// Packets by the numbered reason of their verdict.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReasonCounter {
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// The reason by name.
    pub reason: String,
    /// Whether packets with this reason pass.
    pub pass: bool,
    /// Packets since the data path was loaded.
    pub packets: u64,
}

/// Flow events that were told of, and those that were not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FlowCounters {
    /// Taken from the data path since the agent started.
    pub taken: u64,
    /// Not told by the data path since its maps were made.
    pub lost: u64,
    /// Left out by `logSampling` since the agent started.
    pub sampled_out: u64,
    /// Fallen out of the agent's memory since it started.
    pub forgotten: u64,
}

/// The numbers of a node at the instant of a scrape. `None` is not exported: unknown is not zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MetricsSnapshot {
    /// Whether the node is ready.
    pub ready: bool,
    /// The latest revision applied from the log.
    pub revision_applied: Option<u64>,
    /// The revision of the latest committed epoch.
    pub revision_active: Option<u64>,
    /// The revision that this node's kernel enforces.
    pub revision_enforced: Option<u64>,
    /// The generation of the data path.
    pub generation: Option<u32>,
    /// Entries of the guard.
    pub guard_entries: Option<u64>,
    /// Whether the data path is told to pass everything.
    pub disarmed: bool,
    /// Committed members.
    pub members: u64,
    /// Members alive.
    pub members_alive: u64,
    /// Members under suspicion.
    pub members_suspect: u64,
    /// Members down.
    pub members_down: u64,
    /// Raft: the term.
    pub raft_term: Option<u64>,
    /// Raft: the number of the leader.
    pub raft_leader: Option<u64>,
    /// Raft: whether this node leads.
    pub raft_is_leader: bool,
    /// Raft: the last index in the log.
    pub raft_last_log: Option<u64>,
    /// Raft: the last index known to be committed.
    pub raft_committed: Option<u64>,
    /// Raft: the last index applied.
    pub raft_applied: Option<u64>,
    /// Raft: whether a quorum is within reach.
    pub quorum: bool,
    /// Whether programs of another version judge packets until the next activation.
    pub others_judge: bool,
    /// Hooks that should be attached and are not.
    pub hooks_missing: u64,
    /// Foreign detaches repaired since the start of the process.
    pub hooks_repaired: u64,
    /// Flow events.
    pub flow_events: FlowCounters,
    /// Per rule.
    pub rules: Vec<RuleCounter>,
    /// Per reason and direction.
    pub reasons: Vec<ReasonCounter>,
}
