//! The other end of every stream that peers open.

use std::sync::Arc;

use futures_util::StreamExt;
use identity::NodeId;
use openraft::{
    Snapshot,
    raft::{AppendEntriesRequest, AppendEntriesResponse, StreamAppendResult},
};
use tokio::sync::{Mutex, mpsc};
use tokio_stream::wrappers::ReceiverStream;

use super::{
    Channel, FrameSink, FrameSource, WireError, frame,
    protocol::{Append, AppendAnswer, Call, CallBody, Reply, ReplyBody, SnapshotReply},
    snapshot,
};
use crate::{
    heard::Heard,
    state_machine::Machine,
    types::{C, Vote},
    upkeep::Disk,
};

/// Requests of one session that wait for the core, at most.
const SESSION_REQUESTS_MAX: usize = 64;

/// A stream that a peer has opened; the network vouches for `from`.
pub(crate) struct Incoming {
    pub from: NodeId,
    pub channel: Channel,
    pub sink: Box<dyn FrameSink>,
    pub source: Box<dyn FrameSource>,
}

type Core = openraft::Raft<C, Machine>;

/// Serves entries, votes or a snapshot until the stream ends.
pub(crate) async fn serve(core: Core, heard: Arc<Heard>, disk: Disk, incoming: Incoming) -> Result<(), WireError> {
    let Incoming { from, channel, sink, source } = incoming;
    match channel {
        Channel::Append => serve_append(core, &heard, &disk, from, sink, source).await,
        Channel::Vote => serve_calls(core, &heard, from, sink, source).await,
        Channel::Snapshot => serve_snapshot(core, from, sink, source).await,
        Channel::Forward => Err(WireError::Malformed("forwarding is served elsewhere".to_owned())),
    }
}

fn stopped(error: &dyn std::fmt::Display) -> WireError {
    WireError::Broken(format!("this node takes no part in consensus: {error}"))
}

/// A peer may speak for itself only.
fn check_speaker(from: NodeId, vote: &Vote) -> Result<(), WireError> {
    if vote.leader_id.voted_for == from.get() {
        return Ok(());
    }
    Err(WireError::Malformed(format!("{from} speaks for n{}", vote.leader_id.voted_for)))
}

async fn serve_append(
    core: Core,
    heard: &Heard,
    disk: &Disk,
    from: NodeId,
    sink: Box<dyn FrameSink>,
    mut source: Box<dyn FrameSource>,
) -> Result<(), WireError> {
    let sink = Arc::new(Mutex::new(sink));
    let mut current: Option<(u64, mpsc::Sender<AppendEntriesRequest<C>>)> = None;
    while let Some(Append { session, request }) = frame::receive(source.as_mut()).await? {
        check_speaker(from, &request.vote)?;
        heard.note(from);
        if !request.entries.is_empty() {
            disk.check().map_err(WireError::Broken)?;
        }
        let feed = match &current {
            Some((number, feed)) if *number == session => feed,
            _ => {
                let feed = begin_session(&core, session, Arc::clone(&sink));
                &current.insert((session, feed)).1
            }
        };
        // A session that has ended with a refusal takes no more; the leader begins another.
        feed.send(request).await.ok();
    }
    Ok(())
}

fn begin_session(
    core: &Core,
    session: u64,
    sink: Arc<Mutex<Box<dyn FrameSink>>>,
) -> mpsc::Sender<AppendEntriesRequest<C>> {
    let (feed, requests) = mpsc::channel(SESSION_REQUESTS_MAX);
    let answers = core.stream_append(ReceiverStream::new(requests));
    tokio::spawn(async move {
        let mut answers = std::pin::pin!(answers);
        while let Some(Ok(result)) = answers.next().await {
            let answer = AppendAnswer { session, result };
            if frame::send(sink.lock().await.as_mut(), &answer).await.is_err() {
                return;
            }
        }
    });
    feed
}

async fn serve_calls(
    core: Core,
    heard: &Heard,
    from: NodeId,
    mut sink: Box<dyn FrameSink>,
    mut source: Box<dyn FrameSource>,
) -> Result<(), WireError> {
    while let Some(Call { number, body }) = frame::receive(source.as_mut()).await? {
        let body = answer(&core, heard, from, body).await?;
        frame::send(sink.as_mut(), &Reply { number, body }).await?;
    }
    Ok(())
}

async fn answer(core: &Core, heard: &Heard, from: NodeId, body: CallBody) -> Result<ReplyBody, WireError> {
    match body {
        CallBody::Heartbeat(request) => {
            check_speaker(from, &request.vote)?;
            heard.note(from);
            let (previous, last) = (request.prev_log_id, request.prev_log_id);
            let response = core.append_entries(request).await.map_err(|error| stopped(&error))?;
            Ok(ReplyBody::Heartbeat(heartbeat_result(response, previous, last)))
        }
        CallBody::Vote(request) => {
            check_speaker(from, &request.vote)?;
            core.vote(request).await.map(ReplyBody::Vote).map_err(|error| stopped(&error))
        }
        CallBody::PreVote(request) => {
            check_speaker(from, &request.vote)?;
            core.pre_vote(request).await.map(ReplyBody::Vote).map_err(|error| stopped(&error))
        }
        CallBody::TransferLeader(request) => {
            check_speaker(from, request.from_leader())?;
            core.handle_transfer_leader(request).await.map(ReplyBody::TransferLeader).map_err(|error| stopped(&error))
        }
    }
}

type Position = Option<crate::types::EntryId>;

/// A conflict always has a previous entry: where there is none, everything follows.
fn heartbeat_result(response: AppendEntriesResponse<C>, previous: Position, last: Position) -> StreamAppendResult<C> {
    match (&response, previous) {
        (AppendEntriesResponse::Conflict, None) => Ok(None),
        _ => response.into_stream_result(previous, last),
    }
}

async fn serve_snapshot(
    core: Core,
    from: NodeId,
    mut sink: Box<dyn FrameSink>,
    mut source: Box<dyn FrameSource>,
) -> Result<(), WireError> {
    let (vote, meta, state) = snapshot::collect(source.as_mut()).await?;
    check_speaker(from, &vote)?;
    tracing::info!(%from, bytes = state.len(), %meta, "installing a snapshot");
    let snapshot = Snapshot { meta, snapshot: Arc::new(state) };
    let response = core.install_full_snapshot(vote, snapshot).await.map_err(|error| stopped(&error))?;
    frame::send(sink.as_mut(), &SnapshotReply { vote: response.vote }).await
}
