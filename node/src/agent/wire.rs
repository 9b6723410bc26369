//! Raft's network over the QUIC endpoint: each knows nothing of the other, this file knows both.

use async_trait::async_trait;
use identity::NodeId;
use raft::{Channel, FrameSink, FrameSource, Wire, WireError};
use transport::{Endpoint, FrameReceiver, FrameSender, StreamKind};

/// [`Wire`] over an [`Endpoint`].
pub(crate) struct QuicWire {
    endpoint: Endpoint,
}

impl QuicWire {
    /// Lets Raft open streams on `endpoint`.
    #[must_use]
    pub(crate) fn new(endpoint: Endpoint) -> Self {
        Self { endpoint }
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
