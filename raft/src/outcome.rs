//! What a committed write answers.

use identity::{ClusterId, Digest, NodeId};
use serde::{Deserialize, Serialize};

/// A write that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The log index at which it took effect.
    pub index: u64,
    /// The revision that it made, activated or aborted.
    pub revision: Option<u64>,
    /// The content digest of that revision, where it made one.
    pub digest: Option<Digest>,
    /// The node that it admitted, updated or removed.
    pub node: Option<NodeId>,
    /// The epoch that it began.
    pub epoch: Option<u64>,
    /// Whether this is the answer of an earlier attempt with the same request id.
    pub repeated: bool,
}

impl Outcome {
    /// An outcome that says no more than where it happened.
    pub(crate) fn at(index: u64) -> Self {
        Self { index, revision: None, digest: None, node: None, epoch: None, repeated: false }
    }
}

/// Why a committed write took no effect. It is in the log, and it has changed nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The documents do not make a valid revision.
    #[error("the documents are not valid; nothing was applied:\n{}", .0.join("\n"))]
    Invalid(Vec<String>),
    /// Compare-and-set found another revision than expected.
    #[error(
        "revision {expected} was expected, but the cluster is at revision {current}; nothing was applied; \
         look at what changed, then apply again"
    )]
    Conflict {
        /// What the writer based its change on.
        expected: u64,
        /// What the cluster has.
        current: u64,
    },
    /// There is no such revision.
    #[error(
        "revision {revision} does not exist; the newest is {newest}; `hedgerow policy history` lists those that are kept"
    )]
    UnknownRevision {
        /// What was asked for.
        revision: u64,
        /// The newest there is.
        newest: u64,
    },
    /// The revision is too old to be kept.
    #[error(
        "revision {revision} is no longer kept; the oldest that is kept is {oldest}; `hedgerow policy history` lists those that \
         are kept"
    )]
    CompactedRevision {
        /// What was asked for.
        revision: u64,
        /// The oldest that is kept.
        oldest: u64,
    },
    /// A newer revision is enforced already; generations only go forward (G6).
    #[error(
        "revision {revision} cannot become active or aborted after revision {active} became active; roll back instead"
    )]
    OlderThanActive {
        /// What was asked for.
        revision: u64,
        /// What is active.
        active: u64,
    },
    /// No such token, or one whose record is no longer kept.
    #[error("the join token is not known to this cluster; create a new one with `hedgerow cluster token create`")]
    UnknownToken,
    /// The token has admitted another node.
    #[error("the join token has been used by {0}; create a new one with `hedgerow cluster token create`")]
    UsedToken(NodeId),
    /// The token is too old.
    #[error("the join token expired {seconds} s ago; create a new one with `hedgerow cluster token create`")]
    ExpiredToken {
        /// How long ago, by the clock of the node that was asked.
        seconds: u64,
    },
    /// A token of this id exists.
    #[error("a join token of this id exists; tokens have random ids, make another")]
    DuplicateToken,
    /// The key was revoked, or belongs to a removed node.
    #[error("the key of this node was removed from the cluster; give the node a new key before it joins again")]
    DeniedKey,
    /// The key belongs to a member.
    #[error("the key of this node belongs to member {0}; remove that member first")]
    DuplicateKey(NodeId),
    /// The name belongs to a member.
    #[error("the name `{name}` belongs to member {node}; choose another, or remove that member first")]
    DuplicateName {
        /// The name.
        name: String,
        /// Who has it.
        node: NodeId,
    },
    /// No such member.
    #[error("{0} is not a member of this cluster; `hedgerow members` lists those that are")]
    UnknownMember(NodeId),
    /// The last member cannot leave.
    #[error("{0} is the last member of the cluster and cannot be removed; stop it instead")]
    LastMember(NodeId),
    /// Something is above a limit.
    #[error(
        "there would be {found} {what}, and {limit} is the limit; ask for less, or make room first; nothing changed"
    )]
    AboveLimit {
        /// What was counted, and its unit.
        what: String,
        /// How much there would be.
        found: u64,
        /// How much there may be.
        limit: u64,
    },
    /// What the guard was judged by is not so any more.
    #[error(
        "members, or the revision that is live or wanted, changed while it was judged whether the guard has room; nothing \
         was written; try again"
    )]
    GuardMoved,
    /// There is a cluster already (G9).
    #[error("this is cluster {0} already; a cluster is founded once")]
    AlreadyFounded(ClusterId),
    /// There is no cluster yet.
    #[error("the cluster has not been founded yet; run `hedgerow cluster init`, or wait until it has formed")]
    NotFounded,
}

/// What applying a log entry answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Response {
    /// The entry was not a write.
    Nothing,
    /// The write took effect.
    Done(Outcome),
    /// The write changed nothing.
    Refused(Refusal),
}
