//! A snapshot to a follower that is too far behind, in chunks, on a stream of its own.

use std::{future::Future, sync::Arc};

use openraft::{
    base::OptionalSend,
    errors::{NetworkError, ReplicationClosed, StreamingError, Unreachable},
    raft::SnapshotResponse,
};
use ring::digest::{SHA256, digest};
use tokio::time::{Duration, timeout};

use super::{
    Channel, FrameSource, Wire, WireError, frame,
    protocol::{SnapshotChunk, SnapshotHeader, SnapshotReply},
};
use crate::{
    codec::STATE_BYTES_MAX,
    types::{C, SnapshotMeta, Vote},
};

/// Bytes of one chunk.
const CHUNK_BYTES: usize = 256 << 10;
/// Bytes of a snapshot, at most.
const SNAPSHOT_BYTES_MAX: u64 = STATE_BYTES_MAX as u64;
/// How long one chunk may take.
const CHUNK_LIMIT: Duration = Duration::from_secs(5);
/// How long the follower may take to install it.
const INSTALL_LIMIT: Duration = Duration::from_secs(60);

type SnapshotOf = openraft::alias::SnapshotOf<C, Arc<Vec<u8>>>;

/// Sends a snapshot and waits until it is installed, or until openraft no longer wants it.
pub(super) async fn transmit(
    wire: &dyn Wire,
    target: identity::NodeId,
    vote: Vote,
    snapshot: SnapshotOf,
    cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
) -> Result<SnapshotResponse<C>, StreamingError<C>> {
    tokio::select! {
        closed = cancel => Err(StreamingError::Closed(closed)),
        sent = exchange(wire, target, vote, snapshot) => sent.map_err(|error| match error {
            WireError::Unreachable { .. } => StreamingError::Unreachable(Unreachable::new(&error)),
            _ => StreamingError::Network(NetworkError::new(&error)),
        }),
    }
}

async fn exchange(
    wire: &dyn Wire,
    target: identity::NodeId,
    vote: Vote,
    snapshot: SnapshotOf,
) -> Result<SnapshotResponse<C>, WireError> {
    let (mut sink, mut source) = wire.open(target, Channel::Snapshot).await?;
    let state = snapshot.snapshot;
    let mut sum = [0; 32];
    sum.copy_from_slice(digest(&SHA256, &state).as_ref());
    let header = SnapshotHeader { vote, meta: snapshot.meta, bytes: state.len() as u64, digest: sum };
    let slow = |_| WireError::Broken(format!("a chunk of the snapshot took longer than {CHUNK_LIMIT:?}"));
    timeout(CHUNK_LIMIT, frame::send(sink.as_mut(), &header)).await.map_err(slow)??;
    for chunk in state.chunks(CHUNK_BYTES) {
        let chunk = SnapshotChunk(chunk.to_vec());
        timeout(CHUNK_LIMIT, frame::send(sink.as_mut(), &chunk)).await.map_err(slow)??;
    }
    let reply = timeout(INSTALL_LIMIT, frame::receive::<SnapshotReply>(source.as_mut()))
        .await
        .map_err(|_| WireError::Broken(format!("the snapshot was not installed for {INSTALL_LIMIT:?}")))??;
    let reply = reply.ok_or_else(|| WireError::Broken("the follower gave the snapshot up".to_owned()))?;
    Ok(SnapshotResponse::new(reply.vote))
}

/// Receives what [`transmit`] sends; nothing of it is kept unless all of it arrived whole (G7).
pub(super) async fn collect(source: &mut dyn FrameSource) -> Result<(Vote, SnapshotMeta, Vec<u8>), WireError> {
    let ended = || WireError::Broken("the snapshot ended early".to_owned());
    let header: SnapshotHeader = frame::receive(source).await?.ok_or_else(ended)?;
    if header.bytes > SNAPSHOT_BYTES_MAX {
        let reason = format!("a snapshot of {} bytes is above the limit of {SNAPSHOT_BYTES_MAX}", header.bytes);
        return Err(WireError::Malformed(reason));
    }
    let mut state = Vec::new();
    while (state.len() as u64) < header.bytes {
        let SnapshotChunk(chunk) = frame::receive(source).await?.ok_or_else(ended)?;
        if chunk.is_empty() || (state.len() + chunk.len()) as u64 > header.bytes {
            return Err(WireError::Malformed("a snapshot of another size than announced".to_owned()));
        }
        state.extend_from_slice(&chunk);
    }
    if digest(&SHA256, &state).as_ref() != header.digest {
        return Err(WireError::Malformed("the digest of the snapshot is wrong".to_owned()));
    }
    Ok((header.vote, header.meta, state))
}
