//! Members of the cluster, and the ways in and out of it.

use std::net::{IpAddr, SocketAddr};

use identity::{ClusterId, NodeId, Role};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Attested;

/// How gossip sees a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Answers probes.
    Alive,
    /// Missed a probe and has not refuted the suspicion yet.
    Suspect,
    /// Did not answer in time.
    Down,
    /// Said that it leaves.
    Left,
    /// Committed as a member, never heard of by this node since it started.
    Unknown,
}

/// An address of a member on its interface of a role.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MemberAddress {
    /// The role of the interface.
    #[schema(value_type = String, example = "cluster")]
    pub role: Role,
    /// The address.
    #[schema(value_type = String, example = "10.77.0.1")]
    pub addr: IpAddr,
}

/// One member: what is committed about it, and what gossip says of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// The number of the node; never reused.
    #[schema(value_type = u64)]
    pub node: NodeId,
    /// The name from its configuration.
    pub name: String,
    /// Where its QUIC endpoint listens.
    #[schema(value_type = String, example = "10.77.0.1:7400")]
    pub endpoint: SocketAddr,
    /// Where its HTTPS API listens, if it does.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub api: Option<SocketAddr>,
    /// How gossip sees it.
    pub state: MemberState,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads, as far as this node knows.
    pub leader: bool,
    /// Whether it is a witness: votes and stores, has no data path.
    pub witness: bool,
    /// Whether it is the node that answers.
    pub me: bool,
    /// The version of its program, when gossip has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What it enforces, read back from its kernel.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attested: Option<Attested>,
    /// The last log index it applied, when gossip has told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub applied_index: Option<u64>,
    /// Whether its data path is told to pass everything.
    pub disarmed: bool,
    /// Its addresses by role.
    pub addresses: Vec<MemberAddress>,
}

/// All members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Members {
    /// Sorted by node number.
    pub members: Vec<Member>,
}

/// Makes this node the first of a new cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InitRequest {}

/// Lets this node join a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JoinRequest {
    /// The word that `cluster token create` printed on a member.
    pub token: String,
    /// How long to wait, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
}

/// Lets this node leave its cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LeaveRequest {
    /// Another member to remove instead of this node: one that is gone for good.
    #[schema(value_type = Option<u64>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
}

/// The cluster that a node now belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ClusterAnswer {
    /// The id of the cluster.
    #[schema(value_type = String)]
    pub cluster: ClusterId,
    /// The number of this node.
    #[schema(value_type = u64)]
    pub node: NodeId,
}

/// Asks for a token with which one more node can join.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// How long the token is good for, in milliseconds; an hour when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_ms: Option<u64>,
}

/// A token: it opens the cluster once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenAnswer {
    /// One word to give to `cluster join`.
    pub token: String,
    /// When it stops working.
    pub expires_at_ms: u64,
}

/// Something was done; nothing more to say than a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Done {
    /// What was done.
    pub message: String,
}
