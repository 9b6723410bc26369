//! A network in memory whose links can be cut.
//!
//! A cut link holds everything back, as a network does that loses packets: nothing arrives, nothing fails, and what was
//! on its way arrives after healing. A node that has ended refuses, and its open streams break.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use identity::NodeId;
use raft::{Channel, FrameSink, FrameSource, Raft, Wire, WireError};
use tokio::sync::{mpsc, watch};

/// Frames on their way in one stream, at most.
const FRAMES_MAX: usize = 32;

type Cuts = BTreeSet<(u64, u64)>;

/// The network of a whole cluster.
pub(crate) struct Hub {
    nodes: Mutex<BTreeMap<u64, Raft>>,
    cuts: watch::Sender<Cuts>,
}

/// The network as one node has it.
struct Port {
    me: NodeId,
    hub: Arc<Hub>,
}

struct Sink {
    link: Link,
    frames: mpsc::Sender<Vec<u8>>,
}

struct Source {
    link: Link,
    frames: mpsc::Receiver<Vec<u8>>,
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
        Arc::new(Self { nodes: Mutex::default(), cuts: watch::channel(Cuts::new()).0 })
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

    fn stream(&self, from: u64, to: u64) -> (Box<dyn FrameSink>, Box<dyn FrameSource>) {
        let (sender, frames) = mpsc::channel(FRAMES_MAX);
        let link = Link { from, to, cuts: self.cuts.subscribe() };
        (Box::new(Sink { link: link.clone(), frames: sender }), Box::new(Source { link, frames }))
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
        let (sink, remote_source) = self.hub.stream(me, to);
        let (remote_sink, source) = self.hub.stream(to, me);
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
        self.frames.send(frame).await.map_err(|_| WireError::Broken("the other side has gone".to_owned()))
    }
}

#[async_trait]
impl FrameSource for Source {
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        let frame = self.frames.recv().await;
        self.link.open().await;
        Ok(frame)
    }
}
