//! What a node says about itself: phase, consensus, policy, enforcement, channels.

use identity::{ClusterId, Digest, NodeId, Role};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// How fresh an answer has to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Consistency {
    /// Includes every write acknowledged before the request; needs a quorum.
    #[default]
    Linearizable,
    /// What this node has applied, with the log index; needs nobody.
    Local,
}

/// The query of a read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ConsistencyQuery {
    /// How fresh the answer has to be.
    #[serde(default)]
    #[param(inline)]
    pub consistency: Consistency,
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Belongs to no cluster and waits for `cluster init` or `cluster join`.
    Alone,
    /// Waits until all expected nodes agree on one ballot.
    Forming,
    /// Has a token and waits to be admitted and to catch up.
    Joining,
    /// Is a member.
    Running,
    /// Is on its way out.
    Leaving,
}

/// The part of a node in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RaftRole {
    /// Leads.
    Leader,
    /// Votes and follows.
    Follower,
    /// Stands for election.
    Candidate,
    /// Has the log and no vote.
    Learner,
    /// Stopped.
    Shutdown,
}

/// Consensus as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Raft {
    /// The part of this node.
    pub role: RaftRole,
    /// The current term.
    pub term: u64,
    /// The leader, when one is known.
    #[schema(value_type = Option<u64>)]
    pub leader: Option<NodeId>,
    /// The last index in the log.
    pub last_log: u64,
    /// The last index known to be committed.
    pub committed: u64,
    /// The last index applied here.
    pub applied: u64,
    /// Who votes.
    #[schema(value_type = Vec<u64>)]
    pub voters: Vec<NodeId>,
    /// Who has the log and no vote.
    #[schema(value_type = Vec<u64>)]
    pub learners: Vec<NodeId>,
    /// Whether a quorum is within reach: writes and linearizable reads work (G11).
    pub quorum: bool,
}

/// What a node enforces, as read back from its kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Attested {
    /// The revision of the policy.
    pub revision: u64,
    /// The generation of its data path: counts activations on that node.
    pub generation: u32,
    /// The digest of the maps.
    #[schema(value_type = String)]
    pub digest: Digest,
}

/// A revision that a node could not prove, which therefore was never activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rejected {
    /// The revision.
    pub revision: u64,
    /// Which node refused it and why.
    pub reason: String,
}

/// The policy of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PolicyState {
    /// The latest committed revision; 0 before the first.
    pub revision: u64,
    /// The digest of its documents.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// The revision of the latest committed epoch: what members enforce.
    pub active_revision: u64,
    /// The number of that epoch.
    pub epoch: u64,
    /// The latest revision that was refused, if it is newer than the active one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rejected: Option<Rejected>,
}

/// How a node enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EnforcementMode {
    /// eBPF in the kernel.
    Kernel,
    /// The same image evaluated in the process; drops nothing on the wire.
    Userspace,
    /// A witness: no data path.
    Off,
}

/// A hook of the data path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hook {
    /// The interface by name.
    pub interface: String,
    /// Its role.
    #[schema(value_type = String)]
    pub role: Role,
    /// Where on the interface: `xdp native`, `xdp generic`, `tcx ingress`, `tcx egress`, `clsact egress`.
    pub hook: String,
    /// Whether our program is attached there now.
    pub attached: bool,
    /// How often a foreign detach was repaired since the start of the process (G20).
    pub repaired: u64,
}

/// A data path that passes everything, on the order of an operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Disarm {
    /// Why, in the operator's words.
    pub reason: String,
    /// Who asked.
    pub actor: String,
    /// When enforcement comes back by itself.
    pub until_ms: u64,
}

/// What this node does to packets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Enforcement {
    /// How it enforces.
    pub mode: EnforcementMode,
    /// What is live, read back from the maps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
    /// How many entries the guard has: sync flows that no policy can cut.
    pub guard_entries: u64,
    /// Every hook.
    pub hooks: Vec<Hook>,
    /// True while programs of another version judge packets, with the policy that they had: none of this version's is attached before the
    /// next activation, and `hooks` is empty.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub others_judge: bool,
    /// Set while the data path is told to pass everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disarmed: Option<Disarm>,
}

/// Members counted by how gossip sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberCounts {
    /// All committed members, this node too.
    pub total: u64,
    /// Alive, this node too.
    pub alive: u64,
    /// Under suspicion.
    pub suspect: u64,
    /// Down or never heard of.
    pub down: u64,
}

/// Something that an operator should look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Alarm {
    /// A stable word to match on, such as `no_quorum`.
    pub name: String,
    /// What is wrong and what to do.
    pub message: String,
}

/// What a node says about itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// The name from the configuration.
    pub name: String,
    /// The version of the program.
    pub version: String,
    /// Where the node is in its life.
    pub phase: Phase,
    /// Whether it is a member that has caught up and enforces what the cluster agreed on.
    pub ready: bool,
    /// Why it is not ready: one sentence each. Empty when it is.
    pub waiting_for: Vec<String>,
    /// The number of the node, once it has one.
    #[schema(value_type = Option<u64>)]
    pub node: Option<NodeId>,
    /// The cluster, once it belongs to one.
    #[schema(value_type = Option<String>)]
    pub cluster: Option<ClusterId>,
    /// How long the process has run, in milliseconds.
    pub uptime_ms: u64,
    /// Consensus, once the node takes part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raft: Option<Raft>,
    /// The policy of the cluster as applied here.
    pub policy: PolicyState,
    /// What this node does to packets.
    pub enforcement: Enforcement,
    /// Members by state.
    pub members: MemberCounts,
    /// What an operator should look at.
    pub alarms: Vec<Alarm>,
}

/// Where the declaration of a channel comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChannelOrigin {
    /// Always on.
    BuiltIn,
    /// The node's configuration file.
    Config,
    /// A `SyncChannel` document.
    Document,
}

/// A sync channel that the guard of this node keeps open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channel {
    /// Its name.
    pub name: String,
    /// The role of the interface it runs on.
    #[schema(value_type = String)]
    pub role: Role,
    /// The interfaces of this node with that role.
    pub interfaces: Vec<String>,
    /// What it looks like on the wire, such as `udp/7400` or `protocol 112 to 224.0.0.18`.
    pub wire: String,
    /// Where it was declared.
    pub origin: ChannelOrigin,
    /// How many guard entries it has on this node.
    pub guard_entries: u64,
}

/// All sync channels of this node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Channels {
    /// Sorted by name.
    pub channels: Vec<Channel>,
    /// Guard entries for link support (neighbour discovery, multicast listening) on every interface.
    pub link_entries: u64,
}

/// Tells this node's data path to pass everything for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DisarmRequest {
    /// Why, in the operator's words; goes into the log.
    pub reason: String,
    /// For how long, in milliseconds; at most four hours.
    pub duration_ms: u64,
}

/// A data path that now passes everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DisarmAnswer {
    /// When enforcement comes back by itself.
    pub until_ms: u64,
}

/// Ends a disarm before its time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArmRequest {}
