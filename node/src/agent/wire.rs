//! Raft's network over the QUIC endpoint: each knows nothing of the other, this file knows both.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use identity::NodeId;
use raft::{Channel, FrameSink, FrameSource, Wire, WireError};
use transport::{DialError, Endpoint, FrameReceiver, FrameSender, OpenError, StreamKind};

/// Members that do not take this node for one, and why, in their words: it was removed, or its certificate has expired.
#[derive(Debug, Clone, Default)]
pub(crate) struct Refusals(Arc<Mutex<BTreeMap<NodeId, String>>>);

impl Refusals {
    /// Who refuses, and why.
    #[must_use]
    pub(crate) fn all(&self) -> BTreeMap<NodeId, String> {
        self.lock().clone()
    }

    fn note<T>(&self, target: NodeId, opened: &Result<T, OpenError>) {
        match opened {
            Err(OpenError::Dial(DialError::RefusedByPeer { reason, .. })) => {
                self.lock().insert(target, reason.clone());
            }
            Ok(_) => drop(self.lock().remove(&target)),
            Err(_) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, String>> {
        // Entries are replaced as a whole: a panic elsewhere leaves none half-written.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// [`Wire`] over an [`Endpoint`].
pub(crate) struct QuicWire {
    endpoint: Endpoint,
    refusals: Refusals,
}

impl QuicWire {
    /// Lets Raft open streams on `endpoint`; who refuses this node is noted in `refusals`.
    #[must_use]
    pub(crate) fn new(endpoint: Endpoint, refusals: Refusals) -> Self {
        Self { endpoint, refusals }
    }
}

#[async_trait]
impl Wire for QuicWire {
    async fn open(
        &self,
        target: NodeId,
        channel: Channel,
    ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError> {
        let opened = self.endpoint.open(target, kind_of(channel)).await;
        self.refusals.note(target, &opened);
        let (sender, receiver) =
            opened.map_err(|error| WireError::Unreachable { target, reason: error.to_string() })?;
        Ok((Box::new(Sink(sender)), Box::new(Source(receiver))))
    }
}

/// The sending half of a Raft stream.
pub(crate) struct Sink(pub(crate) FrameSender);

/// The receiving half of a Raft stream.
pub(crate) struct Source(pub(crate) FrameReceiver);

#[async_trait]
impl FrameSink for Sink {
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), WireError> {
        self.0.send(&frame).await.map_err(|error| WireError::Broken(error.to_string()))
    }
}

#[async_trait]
impl FrameSource for Source {
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError> {
        self.0.recv().await.map_err(|error| WireError::Broken(error.to_string()))
    }
}

/// The Raft channel that a stream of this kind carries, if it is one of Raft's.
#[must_use]
pub(crate) fn channel_of(kind: StreamKind) -> Option<Channel> {
    match kind {
        StreamKind::Append => Some(Channel::Append),
        StreamKind::Vote => Some(Channel::Vote),
        StreamKind::Snapshot => Some(Channel::Snapshot),
        StreamKind::Forward => Some(Channel::Forward),
        StreamKind::Control => None,
    }
}

fn kind_of(channel: Channel) -> StreamKind {
    match channel {
        Channel::Append => StreamKind::Append,
        Channel::Vote => StreamKind::Vote,
        Channel::Snapshot => StreamKind::Snapshot,
        Channel::Forward => StreamKind::Forward,
    }
}
