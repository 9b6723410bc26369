//! The types that openraft is instantiated with.

use std::sync::Arc;

use openraft::{LogId as RaftLogId, vote::RaftLeaderId};

use crate::{command::Stamped, outcome::Response, state::LogId};

openraft::declare_raft_types!(
    /// One leader per term (G1), node ids as plain numbers, no node data: addresses are committed member records.
    pub(crate) TypeConfig:
        D = Arc<Stamped>,
        R = Response,
        NodeId = u64,
        Node = (),
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft::TokioRuntime,
);

pub(crate) type C = TypeConfig;
pub(crate) type Vote = openraft::alias::VoteOf<C>;
pub(crate) type Entry = openraft::alias::EntryOf<C>;
pub(crate) type EntryId = openraft::alias::LogIdOf<C>;
pub(crate) type StoredMembership = openraft::alias::StoredMembershipOf<C>;
pub(crate) type SnapshotMeta = openraft::alias::SnapshotMetaOf<C>;

type CommittedLeaderId = <openraft::impls::leader_id_std::LeaderId<u64, u64> as RaftLeaderId>::Committed;

/// An entry's place, in this crate's words.
pub(crate) fn log_id(id: &EntryId) -> LogId {
    LogId { term: id.leader_id.term, index: id.index }
}

/// An entry's place, in openraft's words.
pub(crate) fn entry_id(id: LogId) -> EntryId {
    RaftLogId { leader_id: CommittedLeaderId::new(id.term), index: id.index }
}
