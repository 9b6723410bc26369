//! The network as openraft uses it.

use std::{future::Future, sync::Arc};

use futures_util::{Stream, StreamExt};
use identity::NodeId;
use openraft::{
    OptionalSend, RaftNetworkFactory, RaftNetworkV2,
    alias::SnapshotOf,
    base::{BoxFuture, BoxStream},
    errors::{RPCError, ReplicationClosed, StreamingError, Unreachable},
    network::{RPCOption, RPCTypes},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult, TransferLeaderRequest,
        TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};

use super::{
    Channel, Wire,
    append::Appender,
    link::Reconnecting,
    protocol::{CallBody, ReplyBody},
    rpc::{Caller, unexpected},
    snapshot,
};
use crate::{
    config::Timing,
    types::{C, Vote},
};

/// Makes the connections of one node.
pub(crate) struct Network {
    pub me: NodeId,
    pub wire: Arc<dyn Wire>,
    pub timing: Timing,
}

/// The connections to one peer, for one purpose of openraft's.
pub(crate) struct Peer {
    target: Option<NodeId>,
    wire: Arc<dyn Wire>,
    caller: Option<Caller>,
    appender: Option<Appender>,
    /// Heartbeats must not wait behind entries: they go as calls.
    is_heartbeat: bool,
}

impl Network {
    fn peer(&self, target: u64, is_heartbeat: bool) -> Peer {
        // Node ids come from committed records: zero cannot be among them. If it were, it would be unreachable.
        let target = NodeId::new(target).ok();
        let (wire, timing) = (&self.wire, self.timing);
        let caller = target.map(|target| {
            let stream = Reconnecting::new(Arc::clone(wire), target, Channel::Vote, timing.connect);
            Caller::new(stream, self.me.get())
        });
        let appender = target.map(|target| {
            let stream = Reconnecting::new(Arc::clone(wire), target, Channel::Append, timing.connect);
            Appender::new(stream, timing.append_stall)
        });
        Peer { target, wire: Arc::clone(wire), caller, appender, is_heartbeat }
    }
}

impl RaftNetworkFactory<C> for Network {
    type Network = Peer;

    async fn new_client(&mut self, target: u64, _node: &()) -> Peer {
        self.peer(target, false)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &()) -> Peer {
        self.peer(target, true)
    }
}

fn no_such_node() -> Unreachable<C> {
    Unreachable::from_string("0 is not a node id")
}

impl Peer {
    async fn call(&mut self, body: CallBody, action: RPCTypes, option: &RPCOption) -> Result<ReplyBody, RPCError<C>> {
        match &mut self.caller {
            Some(caller) => caller.call(body, action, option).await,
            None => Err(no_such_node().into()),
        }
    }

    async fn heartbeat(
        &mut self,
        request: AppendEntriesRequest<C>,
        option: &RPCOption,
    ) -> Result<StreamAppendResult<C>, RPCError<C>> {
        match self.call(CallBody::Heartbeat(request), RPCTypes::AppendEntries, option).await? {
            ReplyBody::Heartbeat(result) => Ok(result),
            _ => Err(unexpected()),
        }
    }
}

impl RaftNetworkV2<C> for Peer {
    type SnapshotData = Arc<Vec<u8>>;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<C>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<C>, RPCError<C>> {
        Ok(self.heartbeat(rpc, &option).await?.into())
    }

    fn stream_append<'s, S>(
        &'s mut self,
        mut input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<BoxStream<'s, Result<StreamAppendResult<C>, RPCError<C>>>, RPCError<C>>>
    where
        S: Stream<Item = AppendEntriesRequest<C>> + OptionalSend + Unpin + 'static,
    {
        if !self.is_heartbeat {
            return match &mut self.appender {
                Some(appender) => appender.begin(input),
                None => Box::pin(async { Err(no_such_node().into()) }),
            };
        }
        Box::pin(async move {
            let Some(request) = input.next().await else {
                let nothing: BoxStream<'s, _> = Box::pin(futures_util::stream::empty());
                return Ok(nothing);
            };
            let result = self.heartbeat(request, &option).await;
            let one: BoxStream<'s, _> = Box::pin(futures_util::stream::iter([result]));
            Ok(one)
        })
    }

    async fn vote(&mut self, rpc: VoteRequest<C>, option: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        match self.call(CallBody::Vote(rpc), RPCTypes::Vote, &option).await? {
            ReplyBody::Vote(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }

    async fn pre_vote(&mut self, rpc: VoteRequest<C>, option: RPCOption) -> Result<VoteResponse<C>, RPCError<C>> {
        match self.call(CallBody::PreVote(rpc), RPCTypes::Vote, &option).await? {
            ReplyBody::Vote(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: SnapshotOf<C, Arc<Vec<u8>>>,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<C>, StreamingError<C>> {
        let Some(target) = self.target else { return Err(no_such_node().into()) };
        snapshot::transmit(self.wire.as_ref(), target, vote, snapshot, cancel).await
    }

    async fn transfer_leader(
        &mut self,
        req: TransferLeaderRequest<C>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<C>, RPCError<C>> {
        match self.call(CallBody::TransferLeader(req), RPCTypes::TransferLeader, &option).await? {
            ReplyBody::TransferLeader(response) => Ok(response),
            _ => Err(unexpected()),
        }
    }
}
