//! The messages between nodes. Their layout is bincode's of these types, in this order.

use openraft::raft::{
    AppendEntriesRequest, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::{Deserialize, Serialize};

use crate::types::{C, SnapshotMeta, Vote};

/// On [`super::Channel::Append`], from the leader. Sessions count up on a stream; a new one makes the old one void.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Append {
    pub session: u64,
    pub request: AppendEntriesRequest<C>,
}

/// The answers of a session come in the order of its requests.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct AppendAnswer {
    pub session: u64,
    pub result: StreamAppendResult<C>,
}

/// On [`super::Channel::Vote`].
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Call {
    pub number: u64,
    pub body: CallBody,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum CallBody {
    Heartbeat(AppendEntriesRequest<C>),
    Vote(VoteRequest<C>),
    PreVote(VoteRequest<C>),
    TransferLeader(TransferLeaderRequest<C>),
}

/// The answer to the call of the same number.
#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) struct Reply {
    pub number: u64,
    pub body: ReplyBody,
}

#[derive(Serialize, Deserialize)]
#[serde(bound = "")]
pub(super) enum ReplyBody {
    Heartbeat(StreamAppendResult<C>),
    Vote(VoteResponse<C>),
    TransferLeader(TransferLeaderResponse<C>),
}

/// The first message on [`super::Channel::Snapshot`]; [`SnapshotChunk`]s follow until `bytes` are there.
#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotHeader {
    pub vote: Vote,
    pub meta: SnapshotMeta,
    pub bytes: u64,
    pub digest: [u8; 32],
}

#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotChunk(pub Vec<u8>);

#[derive(Serialize, Deserialize)]
pub(super) struct SnapshotReply {
    pub vote: Vote,
}
