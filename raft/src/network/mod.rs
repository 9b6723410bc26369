//! What consensus needs of a network, and how it uses it.
//!
//! The crate knows no sockets: a [`Wire`] opens ordered, reliable, authenticated streams of frames to other nodes.
//! Entries travel on one long-lived stream per follower, pipelined ([`append`]); votes and heartbeats on another, so
//! that they never wait behind entries ([`rpc`]); a snapshot on a stream of its own ([`snapshot`]); forwarded writes on
//! a fourth ([`crate::forward`]). [`server`] is the other end of all of them.

mod append;
mod client;
mod frame;
mod link;
mod protocol;
mod rpc;
mod server;
mod snapshot;

use async_trait::async_trait;
use identity::NodeId;
use serde::{Deserialize, Serialize};

pub use self::frame::FRAME_BYTES_MAX;
pub(crate) use self::{
    client::Network,
    frame::{receive, send},
    server::{Incoming, serve},
};

/// What a stream carries; a network may give each its own priority.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Channel {
    /// Log entries, pipelined.
    Append,
    /// Votes and heartbeats: small, urgent.
    Vote,
    /// One snapshot.
    Snapshot,
    /// Writes and reads that are forwarded to the leader.
    Forward,
}

/// Streams of frames to other nodes.
#[async_trait]
pub trait Wire: Send + Sync {
    /// Opens a stream to a node. The network vouches that it is that node.
    async fn open(
        &self,
        target: NodeId,
        channel: Channel,
    ) -> Result<(Box<dyn FrameSink>, Box<dyn FrameSource>), WireError>;
}

/// The sending half of a stream. Dropping it ends the stream.
#[async_trait]
pub trait FrameSink: Send {
    /// Sends one frame, of [`FRAME_BYTES_MAX`] bytes at most; waits while the other side is behind.
    async fn send(&mut self, frame: Vec<u8>) -> Result<(), WireError>;
}

/// The receiving half of a stream.
#[async_trait]
pub trait FrameSource: Send {
    /// The next frame; none when the other side has ended the stream.
    async fn recv(&mut self) -> Result<Option<Vec<u8>>, WireError>;
}

/// Why frames do not get through.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// The node cannot be reached now.
    #[error("{target} cannot be reached: {reason}")]
    Unreachable {
        /// The node.
        target: NodeId,
        /// What the network said.
        reason: String,
    },
    /// The stream broke.
    #[error("the stream broke: {0}")]
    Broken(String),
    /// What arrived makes no sense; the stream is given up.
    #[error("the peer sent what this version does not understand: {0}")]
    Malformed(String),
}
