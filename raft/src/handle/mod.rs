//! The one handle that the rest of the program has on consensus.

mod read;
mod start;
mod write;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use identity::{MemberRecord, NodeId};
use openraft::{Instant as _, async_runtime::watch::WatchReceiver};
use tokio::{sync::watch, task::JoinSet};

pub use self::{read::ReadError, start::StartError, write::WriteError};
use crate::{
    command::{Command, Genesis, Proposal},
    config::RaftConfig,
    forward::{self, Forwarder},
    heard::Heard,
    log_store::LogStore,
    metrics::{RaftMetrics, node_id},
    network::{Channel, FrameSink, FrameSource, Incoming, serve},
    outcome::Outcome,
    state::{LogId, State},
    state_machine::Machine,
    types::C,
    upkeep::Disk,
};

/// Consensus on this node. Clones share it.
#[derive(Clone)]
pub struct Raft {
    inner: Arc<Inner>,
}

struct Inner {
    config: RaftConfig,
    core: openraft::Raft<C, Machine>,
    store: LogStore,
    state: watch::Receiver<Arc<State>>,
    forwarder: Forwarder,
    heard: Arc<Heard>,
    disk: Disk,
    runtime: tokio::runtime::Handle,
    tasks: std::sync::Mutex<JoinSet<()>>,
}

/// Why a cluster was not founded.
#[derive(Debug, thiserror::Error)]
pub enum InitialiseError {
    /// This node is not among the members, or there are none.
    #[error("{me} is not among the first members; a cluster is founded by one of them")]
    NotAMember {
        /// This node.
        me: NodeId,
    },
    /// There is a cluster here already, of another id (G9).
    #[error("this node belongs to cluster {0} already; a node founds or joins one cluster in its life")]
    AlreadyFounded(identity::ClusterId),
    /// The members are written down, but the first entry is not committed yet. Ask again: it is the same founding.
    #[error("the cluster is being founded, but its first entry was not committed in time: {0}; try again")]
    NotCommitted(WriteError),
    /// Consensus has ended on this node.
    #[error("this node takes no part in consensus any more: {0}")]
    Stopped(String),
}

/// Why consensus did not end well. What was acknowledged is on disk.
#[derive(Debug, thiserror::Error)]
#[error("consensus did not shut down cleanly: {0}; what was acknowledged is on disk")]
pub struct ShutdownError(String);

impl Raft {
    /// This node.
    #[must_use]
    pub fn me(&self) -> NodeId {
        self.inner.config.me
    }

    /// Founds a cluster with these first voters, this node among them, and waits until that is committed. Called on
    /// one node only: the others learn it from the log. Calling it again, also after a restart, goes on where it was.
    ///
    /// # Errors
    /// When this node is in another cluster, or a quorum does not answer in time.
    pub async fn initialise(
        &self,
        voters: Vec<MemberRecord>,
        genesis: Genesis,
        deadline: Duration,
    ) -> Result<Outcome, InitialiseError> {
        let me = self.me();
        if !voters.iter().any(|voter| voter.node == me) {
            return Err(InitialiseError::NotAMember { me });
        }
        if let Some(cluster) = self.local().0.cluster.filter(|cluster| *cluster != genesis.cluster) {
            return Err(InitialiseError::AlreadyFounded(cluster));
        }
        if !self.is_initialised().await {
            let nodes: BTreeMap<u64, ()> = voters.iter().map(|voter| (voter.node.get(), ())).collect();
            let initialised = self.inner.core.initialize(nodes).await;
            // Another call may have been faster.
            if let (Err(error), false) = (initialised, self.is_initialised().await) {
                return Err(InitialiseError::Stopped(error.to_string()));
            }
        }
        let request_id = u128::from_le_bytes(*genesis.cluster.as_bytes());
        let command = Command::Found { genesis, members: voters };
        let proposal = Proposal { request_id, actor: format!("node {me}"), guard_basis: None, command };
        self.write(proposal, deadline).await.map_err(InitialiseError::NotCommitted)
    }

    /// Whether this node has a log: it founded or joined a cluster.
    pub async fn is_initialised(&self) -> bool {
        self.inner.core.is_initialized().await.unwrap_or(false)
    }

    /// Serves a stream that a peer has opened, in the background. The caller vouches for `from`.
    pub fn serve(&self, from: NodeId, channel: Channel, sink: Box<dyn FrameSink>, source: Box<dyn FrameSource>) {
        let handle = self.clone();
        self.spawn(async move {
            if handle.is_out(from) {
                return tracing::warn!(%from, ?channel, "a removed member opened a stream; it is not served");
            }
            let served = match channel {
                Channel::Forward => forward::serve(handle, from, sink, source).await,
                // A follower that cannot write is, to the leader, one that cannot be reached: it catches up when there
                // is room again (G8).
                Channel::Append | Channel::Snapshot if handle.disk().check().is_err() => return,
                _ => {
                    let (core, heard) = (handle.inner.core.clone(), Arc::clone(&handle.inner.heard));
                    let disk = handle.disk().clone();
                    drop(handle);
                    serve(core, heard, disk, Incoming { from, channel, sink, source }).await
                }
            };
            if let Err(error) = served {
                tracing::debug!(%from, ?channel, %error, "a stream from a peer ended");
            }
        });
    }

    /// Whether this is a removed member whose vote is not needed any more for the change of voters that removes it.
    fn is_out(&self, node: NodeId) -> bool {
        self.local().0.removed.contains_key(&node) && !self.metrics().voters.contains(&node)
    }

    /// The state of this node, and the log index up to which it is built. It may be old (G3).
    #[must_use]
    pub fn local(&self) -> (Arc<State>, u64) {
        let state = Arc::clone(&self.inner.state.borrow());
        let applied = state.applied_index();
        (state, applied)
    }

    /// Every change of this node's state. A slow watcher sees the newest state, not every one between.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Arc<State>> {
        self.inner.state.clone()
    }

    /// The leader, if this node knows one: it has heard from it lately or, leading itself, from a quorum (G11).
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.known_leader().ok()
    }

    /// The leader, or why none is known.
    pub(crate) fn known_leader(&self) -> Result<NodeId, String> {
        let (me, silence) = (self.me(), self.config().timing.silence());
        let metrics = self.inner.core.metrics();
        let metrics = metrics.borrow_watched();
        let leader = metrics.current_leader.and_then(node_id).ok_or("there is no leader")?;
        if leader != me {
            return match self.inner.heard.within(leader, silence) {
                true => Ok(leader),
                false => Err(format!("{leader}, the last known leader, has not been heard for {silence:?}")),
            };
        }
        // Alone, it is its own quorum, and nobody acknowledges anything.
        let is_alone = metrics.membership_config.voter_ids().all(|voter| voter == me.get());
        match metrics.last_quorum_acked.map(|last| last.elapsed()).filter(|_| !is_alone) {
            Some(silent) if silent > silence => {
                Err(format!("{me} leads, but has not heard of a quorum for {silent:?}"))
            }
            _ => Ok(me),
        }
    }

    /// Consensus as this node sees it.
    #[must_use]
    pub fn metrics(&self) -> RaftMetrics {
        let metrics = RaftMetrics::from(&*self.inner.core.metrics().borrow_watched());
        RaftMetrics { leader: self.leader(), ..metrics }
    }

    /// Asks this node to make a snapshot now; it is made in the background.
    pub async fn snapshot(&self) {
        if let Err(error) = self.inner.core.trigger().snapshot().await {
            tracing::warn!(%error, "no snapshot is made");
        }
    }

    /// The entry up to which this node's state is built.
    #[must_use]
    pub fn applied(&self) -> Option<LogId> {
        self.inner.state.borrow().applied
    }

    /// Ends consensus on this node: no more votes, nothing more acknowledged; everything acknowledged is on disk.
    ///
    /// # Errors
    /// When a task had to be left behind. The process should end.
    pub async fn shutdown(&self) -> Result<(), ShutdownError> {
        self.hand_over().await;
        let mut tasks = {
            let mut tasks = self.inner.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            std::mem::take(&mut *tasks)
        };
        tasks.shutdown().await;
        self.inner.core.shutdown().await.map_err(|error| ShutdownError(error.to_string()))?;
        self.inner.store.close().await.map_err(|error| ShutdownError(error.to_string()))
    }

    /// A leader that ends lets the voter that is furthest lead, so that writes need not wait for an election.
    async fn hand_over(&self) {
        let metrics = self.core().metrics();
        let successor = {
            let metrics = metrics.borrow_watched();
            let (membership, me) = (metrics.membership_config.membership(), self.me().get());
            let progress = metrics.replication.iter().flatten();
            let others =
                progress.filter(|(node, _)| **node != me && membership.voter_ids().any(|voter| voter == **node));
            others.max_by_key(|(_, matched)| matched.map(|matched| matched.index)).map(|(node, _)| *node)
        };
        let Some(successor) = successor.filter(|_| self.leader() == Some(self.me())) else { return };
        if self.core().trigger().transfer_leader(successor).await.is_ok() {
            tokio::time::timeout(self.config().timing.silence(), self.no_longer_led_by(self.me())).await.ok();
        }
    }

    /// Runs until it ends or [`Raft::shutdown`] is called.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.inner.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        while tasks.try_join_next().is_some() {}
        tasks.spawn_on(task, &self.inner.runtime);
    }

    pub(crate) fn core(&self) -> &openraft::Raft<C, Machine> {
        &self.inner.core
    }

    pub(crate) fn store(&self) -> &LogStore {
        &self.inner.store
    }

    pub(crate) fn disk(&self) -> &Disk {
        &self.inner.disk
    }

    pub(crate) fn config(&self) -> &RaftConfig {
        &self.inner.config
    }
}
