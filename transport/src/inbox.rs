//! What arrives at an endpoint, in a bounded queue for its one owner.

use std::{fmt, net::SocketAddr};

use bytes::Bytes;
use identity::NodeId;
use tokio::sync::mpsc;

use crate::{FormPeer, FrameReceiver, FrameSender, Limits, StreamKind};

/// Something that arrived.
#[derive(Debug)]
pub enum Arrival {
    /// A member opened a stream.
    Stream {
        /// The member, proven by its certificate.
        from: NodeId,
        /// What the stream is for.
        kind: StreamKind,
        /// Towards the member.
        sender: FrameSender,
        /// From the member.
        receiver: FrameReceiver,
    },
    /// A member sent a datagram.
    Datagram {
        /// The member, proven by its certificate.
        from: NodeId,
        /// What it sent.
        bytes: Bytes,
    },
    /// Someone proved a secret on a forming connection, and this node proved it back.
    Form {
        /// Who it is.
        peer: FormPeer,
        /// Towards it.
        sender: FrameSender,
        /// From it.
        receiver: FrameReceiver,
    },
    /// There is a connection to this member now.
    Connected {
        /// The member.
        node: NodeId,
        /// Its address on this connection.
        addr: SocketAddr,
    },
    /// There is no connection to this member any more.
    Disconnected {
        /// The member.
        node: NodeId,
    },
}

/// The arrivals of an endpoint. When it is dropped, arriving streams and datagrams are refused.
pub struct Inbox {
    arrivals: mpsc::Receiver<Arrival>,
    datagrams: mpsc::Receiver<Arrival>,
}

impl Inbox {
    /// The next arrival; nothing once the endpoint is gone. May be given up and called again. Streams and connections
    /// come before datagrams, so that a flood of those does not hold them up.
    pub async fn recv(&mut self) -> Option<Arrival> {
        tokio::select! {
            biased;
            Some(arrival) = self.arrivals.recv() => Some(arrival),
            Some(datagram) = self.datagrams.recv() => Some(datagram),
            else => None,
        }
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inbox")
            .field("arrivals", &self.arrivals.len())
            .field("datagrams", &self.datagrams.len())
            .finish()
    }
}

/// The other ends of the two queues.
#[derive(Clone)]
pub(crate) struct Outlets {
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    pub(crate) datagrams: mpsc::Sender<Arrival>,
}

pub(crate) fn inbox(limits: &Limits) -> (Outlets, Inbox) {
    let (arrivals_in, arrivals) = mpsc::channel(limits.arrivals_queued_max.max(1));
    let (datagrams_in, datagrams) = mpsc::channel(limits.datagrams_queued_max.max(1));
    (Outlets { arrivals: arrivals_in, datagrams: datagrams_in }, Inbox { arrivals, datagrams })
}
