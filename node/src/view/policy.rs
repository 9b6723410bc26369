//! Policy documents, revisions, and what came of applying them.

use std::{collections::BTreeMap, net::IpAddr};

use identity::{Digest, NodeId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Consistency, FlowService, RequestId};

/// A file: its name and what it says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// The name for findings, usually a path.
    pub name: String,
    /// YAML, several documents if need be, or JSON.
    pub text: String,
}

/// How long `policy apply` waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Wait {
    /// Until every live member enforces the revision.
    #[default]
    All,
    /// Until the revision is activated and a majority of the members enforces it.
    Quorum,
    /// Until the revision is committed.
    None,
}

/// Adds documents to the policy, or replaces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// The files. A document replaces the one of its kind and name; others stay, unless `prune` is set.
    pub sources: Vec<Source>,
    /// Remove every document that is not in the sources.
    #[serde(default)]
    pub prune: bool,
    /// Refuse with a conflict unless this is the latest revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<u64>,
    /// Why, for the history.
    #[serde(default)]
    pub message: String,
    /// Validate, compile and compare; change nothing.
    #[serde(default)]
    pub dry_run: bool,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// For how long, in milliseconds; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// Chosen by the caller: the same id is the same write, however often it is sent.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// How far one member is with a revision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeStateKind {
    /// Has not said anything about it yet.
    Waiting,
    /// Has compiled, loaded and proven it; not live yet.
    Ready,
    /// Enforces it.
    Active,
    /// Refused it.
    Failed,
    /// Is not alive; it will catch up when it returns.
    Down,
}

/// One member and a revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeState {
    /// The member.
    #[schema(value_type = u64)]
    pub node: NodeId,
    /// Its name.
    pub name: String,
    /// How far it is.
    pub state: NodeStateKind,
    /// The digest of its image, once it has one.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
    /// Why it refused, or what it waits for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What came of an apply or a rollback.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ApplyAnswer {
    /// The revision; with `dry_run`, the one that the documents were compared with.
    pub revision: u64,
    /// The log index at which it was committed; 0 with `dry_run`.
    pub index: u64,
    /// The digest of all documents of the revision.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// What came of it.
    pub outcome: Applied,
    /// What changed in the documents.
    pub changes: Vec<Change>,
    /// From the request to the commit, in milliseconds.
    pub committed_ms: u64,
    /// From the request to the last live member's activation, in milliseconds; absent when that was not waited for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activated_ms: Option<u64>,
    /// Every member and how far it is.
    pub nodes: Vec<NodeState>,
}

/// What came of an apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Applied {
    /// Nothing: it was a dry run.
    DryRun,
    /// Nothing: the documents are the ones of the latest revision.
    Unchanged,
    /// Committed; activation was not waited for, or did not come about in time.
    Committed,
    /// Committed and activated.
    Active,
    /// Committed, and refused by a member when it was proven: the revision before it stays live everywhere.
    Rejected,
}

/// What happened to a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Is new.
    Added,
    /// Is gone.
    Removed,
    /// Says something else.
    Changed,
}

/// One changed document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// What happened to it.
    pub change: ChangeKind,
    /// Its kind, such as `Policy`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The difference as unified text.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub text: String,
}

/// Asks what documents would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DiffRequest {
    /// The files.
    pub sources: Vec<Source>,
    /// As if every document that is not in the sources were removed.
    #[serde(default)]
    pub prune: bool,
    /// How fresh the policy to compare with has to be.
    #[serde(default)]
    pub consistency: Consistency,
}

/// What documents would change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DiffAnswer {
    /// The revision compared with.
    pub revision: u64,
    /// Sorted by kind and name; empty when nothing would change.
    pub changes: Vec<Change>,
}

/// The query of `GET /v1/policy`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PolicyQuery {
    /// Only documents of this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// How fresh the answer has to be.
    #[serde(default)]
    #[param(inline)]
    pub consistency: Consistency,
}

/// The documents of the latest revision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PolicyDocuments {
    /// The revision; 0 before the first.
    pub revision: u64,
    /// The log index at which the answer was taken (G3).
    pub index: u64,
    /// The digest of all documents of the revision, whatever the filter.
    #[schema(value_type = Option<String>)]
    pub digest: Option<Digest>,
    /// The documents, sorted by kind and name.
    #[schema(value_type = Vec<Object>)]
    pub documents: Vec<serde_json::Value>,
}

/// The query of `GET /v1/policy/explain`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    /// The source address.
    #[param(value_type = String, example = "198.51.100.7")]
    pub src: IpAddr,
    /// The destination address.
    #[param(value_type = String, example = "203.0.113.10")]
    pub dst: IpAddr,
    /// Protocol and port.
    #[param(value_type = String, example = "tcp/443")]
    pub service: FlowService,
    /// The revision to ask; the live one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}

/// What becomes of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

/// What the loaded program said about such a packet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KernelAnswer {
    /// The hook it was asked at.
    pub hook: String,
    /// The outcome.
    pub verdict: Verdict,
    /// The numbered reason by name.
    pub reason: String,
    /// Whether it agrees with the compiled image.
    pub agrees: bool,
}

/// The verdict on a flow and every step to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// The revision that was asked.
    pub revision: u64,
    /// The outcome by policy.
    pub verdict: Verdict,
    /// The steps for a reader.
    pub text: String,
    /// The steps for a program.
    #[schema(value_type = Object)]
    pub steps: serde_json::Value,
    /// What the kernel of this node answers for the live revision, at each hook that the packet would meet here.
    pub kernel: Vec<KernelAnswer>,
}

/// One revision in the history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Revision {
    /// Its number.
    pub number: u64,
    /// The digest of its documents.
    #[schema(value_type = String)]
    pub digest: Digest,
    /// Who made it.
    pub actor: String,
    /// When, by the clock of the node that took the write.
    pub at_ms: u64,
    /// Why, in the words of who made it.
    pub message: String,
    /// How many documents it has.
    pub documents: u64,
    /// Whether it is the one that members enforce.
    pub active: bool,
}

/// The revisions that are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct History {
    /// The newest first.
    pub revisions: Vec<Revision>,
}

/// Makes a new revision with the documents of an old one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// The old revision.
    pub to: u64,
    /// Refuse with a conflict unless this is the latest revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect_revision: Option<u64>,
    /// Why, for the history.
    #[serde(default)]
    pub message: String,
    /// What to wait for.
    #[serde(default)]
    pub wait: Wait,
    /// For how long, in milliseconds; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u64>,
    /// As in an apply.
    #[schema(value_type = Option<String>)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<RequestId>,
}

/// A named set of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Segment {
    /// Its name.
    pub name: String,
    /// Its role; `built-in` for `members` and `any`.
    pub role: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its addresses as CIDRs.
    pub addresses: Vec<String>,
    /// Its services, such as `https tcp/443`.
    pub services: Vec<String>,
    /// The policies that apply to it.
    pub policies: Vec<String>,
}

/// All segments of the latest revision.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Segments {
    /// The revision.
    pub revision: u64,
    /// Sorted by name.
    pub segments: Vec<Segment>,
}
