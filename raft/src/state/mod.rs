//! What the cluster has agreed on.
//!
//! [`State::apply`] is a pure function of the state and of one log entry: no clock, no random number, no I/O. The same
//! log gives the same [`State::digest`] on every node (G5). Every part that can be large sits behind an `Arc`, so that
//! publishing the state after a change copies a few pointers and no content.

mod apply;
mod audit;
mod guard_basis;
mod image;
mod members;
mod policies;
#[cfg(test)]
mod tests;
mod tokens;
mod window;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    fmt,
    sync::Arc,
};

use identity::{ClusterId, Digest, Fingerprint, MemberRecord, NodeId};
use policy::Document;
use serde::{Deserialize, Serialize};

/// Bounds of the state.
pub(crate) mod limits {
    pub use super::{
        DENIED_MAX, MEMBERS_MAX, REMOVED_MAX, REQUESTS_KEPT, TOKENS_MAX,
        audit::AUDIT_KEPT,
        policies::{HISTORY_BYTES_MAX, HISTORY_REVISIONS_MAX, REVISION_BYTES_MAX},
    };
}

use self::{audit::Audit, window::Window};
pub use self::{audit::AuditEntry, policies::RevisionInfo};
use crate::{command::TokenRecord, outcome::Outcome};

/// Members of a cluster, at most. The guard's maps are sized for it.
pub const MEMBERS_MAX: usize = 64;
/// Removed members that are remembered, at most; the oldest are forgotten, their keys stay denied.
pub const REMOVED_MAX: usize = 1024;
/// Denied keys, at most.
pub const DENIED_MAX: usize = 4096;
/// Join tokens, at most.
pub const TOKENS_MAX: usize = 1024;
/// Answered requests that are remembered, so that a retry is not a second write.
pub const REQUESTS_KEPT: usize = 4096;

/// A place in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LogId {
    /// The term of the leader that wrote it.
    pub term: u64,
    /// The index; the first is 0.
    pub index: u64,
}

impl fmt::Display for LogId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.term, self.index)
    }
}

/// What every node enforces: a revision, compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// Counts activations; only goes forward (G6).
    pub epoch: u64,
    /// The revision.
    pub revision: u64,
    /// The digest of its image.
    pub image: Digest,
}

/// A revision that will not be activated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Aborted {
    /// The revision.
    pub revision: u64,
    /// Which node refused it, and why.
    pub reason: String,
    /// Where in the log.
    pub index: u64,
}

/// A member that was removed. Its id is never used again (G9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RemovedMember {
    /// Its last record.
    pub record: MemberRecord,
    /// Where in the log it was removed.
    pub index: u64,
    /// When, in milliseconds since 1970, by the clock of the accepting node.
    pub at_ms: u64,
}

/// Everything that the cluster has agreed on, up to [`State::applied`]. Cheap to clone.
#[derive(Clone, Default)]
pub struct State {
    /// The cluster's id; none before it is founded.
    pub cluster: Option<ClusterId>,
    /// The recovery epoch.
    pub epoch: u32,
    /// Certificate and key of the cluster's CA.
    pub ca_pem: Arc<str>,
    /// The members. Who of them votes is [`crate::RaftMetrics::voters`].
    pub members: Arc<BTreeMap<NodeId, MemberRecord>>,
    /// Members that were removed.
    pub removed: Arc<BTreeMap<NodeId, RemovedMember>>,
    /// The id that the next admitted node gets.
    pub next_node: u64,
    /// The documents of the newest revision, by kind and name.
    pub documents: Arc<Vec<Document>>,
    /// The revisions that are kept, oldest first, with their content.
    pub revisions: Arc<VecDeque<Arc<RevisionInfo>>>,
    /// What every node enforces; none before the first activation.
    pub active: Option<Epoch>,
    /// The last revision that was given up.
    pub aborted: Option<Arc<Aborted>>,
    /// Join tokens by id.
    pub tokens: Arc<BTreeMap<[u8; 16], TokenRecord>>,
    /// Keys that are refused everywhere.
    pub denied: Arc<BTreeSet<Fingerprint>>,
    /// The last entry that is part of this state; none before the first.
    pub applied: Option<LogId>,
    audit: Audit,
    requests: Window<Answered, REQUESTS_KEPT>,
}

/// A request that took effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Answered {
    request_id: u128,
    outcome: Outcome,
}

impl State {
    /// The number of the newest revision; 0 when there is none.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.revisions.back().map_or(0, |newest| newest.number)
    }

    /// A revision that is still kept.
    #[must_use]
    pub fn find_revision(&self, number: u64) -> Option<&Arc<RevisionInfo>> {
        let oldest = self.revisions.front()?.number;
        self.revisions.get(usize::try_from(number.checked_sub(oldest)?).ok()?)
    }

    /// The log index up to which this state was built; 0 at the very start.
    #[must_use]
    pub fn applied_index(&self) -> u64 {
        self.applied.map_or(0, |id| id.index)
    }

    /// The head of the audit chain: the SHA-256 over everything that was ever written.
    #[must_use]
    pub fn audit_head(&self) -> Digest {
        self.audit.head
    }

    /// The newest audit entries, oldest first.
    pub fn audit_entries(&self) -> impl Iterator<Item = &AuditEntry> {
        self.audit.recent.iter().map(AsRef::as_ref)
    }

    /// The CA, the members and the counters are there: a cluster has been founded.
    #[must_use]
    pub fn is_founded(&self) -> bool {
        self.cluster.is_some()
    }

    /// What a write with this request id came to, if one has taken effect and is remembered.
    #[must_use]
    pub fn answered(&self, request_id: u128) -> Option<Outcome> {
        self.requests.iter().rev().find(|answered| answered.request_id == request_id).map(|answered| answered.outcome)
    }
}

// The CA's key is part of the state: it must not reach a log.
impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State")
            .field("cluster", &self.cluster)
            .field("applied", &self.applied)
            .field("members", &self.members.keys().collect::<Vec<_>>())
            .field("revision", &self.revision())
            .field("active", &self.active)
            .finish_non_exhaustive()
    }
}
