//! A network in memory whose links can be cut.
//!
//! A cut link holds everything back, as a network does that loses packets: nothing arrives, nothing fails, and what was
//! on its way arrives after healing. A node that has ended refuses, and its open streams break. A node may lag: entries
//! and heartbeats reach it late.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use async_trait::async_trait;
use identity::NodeId;
use raft::{Channel, FrameSink, FrameSource, Raft, Wire, WireError};
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

/// Frames on their way in one stream, at most.
const FRAMES_MAX: usize = 32;

type Cuts = BTreeSet<(u64, u64)>;

/// The network of a whole cluster.
pub(crate) struct Hub {
    nodes: Mutex<BTreeMap<u64, Raft>>,
    cuts: watch::Sender<Cuts>,
    lags: Lags,
}

/// How late entries reach a node; not at all late where there is none.
type Lags = Arc<Mutex<BTreeMap<u64, Duration>>>;

/// The network as one node has it.
struct Port {
    me: NodeId,
    hub: Arc<Hub>,
}

struct Sink {
    link: Link,
    lags: Lags,
    channel: Channel,
    frames: mpsc::Sender<(Instant, Vec<u8>)>,
}

struct Source {
    link: Link,
    frames: mpsc::Receiver<(Instant, Vec<u8>)>,
}

/// One direction between two nodes.
#[derive(Clone)]
struct Link {
    from: u64,
    to: u64,
    cuts: watch::Receiver<Cuts>,
}

impl Link {
    async fn open(&mut self) {
        let pair = (self.from, self.to);
        self.cuts.wait_for(|cuts| !cuts.contains(&pair)).await.ok();
    }
}

impl Hub {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { nodes: Mutex::default(), cuts: watch::channel(Cuts::new()).0, lags: Lags::default() })
    }

    pub(crate) fn port(self: &Arc<Self>, me: NodeId) -> Arc<dyn Wire> {
        Arc::new(Port { me, hub: Arc::clone(self) })
    }

    pub(crate) fn attach(&self, raft: Raft) {
        self.nodes.lock().unwrap().insert(raft.me().get(), raft);
    }

    pub(crate) fn detach(&self, node: u64) {
        self.nodes.lock().unwrap().remove(&node);
    }

    /// The nodes that run.
    pub(crate) fn nodes(&self) -> Vec<Raft> {
        self.nodes.lock().unwrap().values().cloned().collect()
    }

    /// Cuts both directions between every node of one side and every node of the other.
    pub(crate) fn cut(&self, one: &[u64], other: &[u64]) {
        let pairs = one.iter().flat_map(|a| other.iter().flat_map(move |b| [(*a, *b), (*b, *a)]));
        self.cuts.send_modify(|cuts| cuts.extend(pairs));
    }

    pub(crate) fn heal(&self) {
        self.cuts.send_modify(Cuts::clear);
    }

    /// From now on entries and heartbeats reach this node so much later; writes, reads and votes do not.
    pub(crate) fn lag(&self, node: u64, late: Duration) {
        self.lags.lock().unwrap().insert(node, late);
    }

    fn stream(&self, from: u64, to: u64, channel: Channel) -> (Box<dyn FrameSink>, Box<dyn FrameSource>) {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        let link = Link { from, to, cuts: self.cuts.subscribe() };
        let sink = Sink { link: link.clone(), lags: Arc::clone(&self.lags), channel, frames: sender };
        (Box::new(sink), Box::new(Source { link, frames }))
    }
}

#[async_trait]
impl Wire for Port {
    async fn open(
        &self,
        target: NodeId,
        channel: Channel,
    ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
        let (me, to) = (self.me.get(), target.get());
        let (sink, remote_source) = self.hub.stream(me, to, channel);
        let (remote_sink, source) = self.hub.stream(to, me, channel);
        Link { from: me, to, cuts: self.hub.cuts.subscribe() }.open().await;
        let peer = self.hub.nodes.lock().unwrap().get(&to).cloned();
        match peer {
            Some(peer) => peer.serve(self.me, channel, remote_sink, remote_source),
            None => return Err(WireError::Unreachable { target, reason: "it does not run".to_owned() }),
        }
        Ok((sink, source))
    }
}

#[async_trait]
impl FrameSink for Sink {
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), WireError> {
        self.link.open().await;
        let late = self.lags.lock().unwrap().get(&self.link.to).copied().filter(|_| self.channel == Channel::Append);
        let due = Instant::now() + late.unwrap_or_default();
        self.frames.send((due, frame)).await.map_err(|_| WireError::Broken("the other side has gone".to_owned()))
    }
}

#[async_trait]
impl FrameSource for Source {
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let frame = self.frames.recv().await;
        self.link.open().await;
        let Some((due, frame)) = frame else { return Ok(None) };
        tokio::time::sleep_until(due).await;
        Ok(Some(frame))
    }
}
