//! The borders of the state machine: what goes in, what comes out.

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use identity::NodeId;

use crate::{member::Member, member::Meta, swim};

/// What happens to a node.
#[derive(Debug, Clone)]
pub enum Input {
    /// A datagram of a peer, which the transport has authenticated.
    Datagram {
        /// The peer.
        from: NodeId,
        /// What it sent.
        bytes: Bytes,
    },
    /// A timer of [`Action::Schedule`] has elapsed.
    Timer(Timer),
    /// A node that should be a member; looked for until it answers. Said again with another address, the last counts.
    Announce {
        /// The node.
        to: NodeId,
        /// Where it is thought to be.
        addr: SocketAddr,
    },
    /// What this node tells of itself has changed.
    SetMeta(Meta),
    /// A node was removed from the cluster for good: from now on it is neither listened to nor looked for (G12). Its id
    /// is never used again, so there is no way back.
    Remove(NodeId),
    /// This node leaves. It tells the others, a few times over 100 ms, and takes no part any more.
    Leave,
}

/// What the caller has to do, in this order.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make this incarnation durable; the next start begins above it.
    PersistIncarnation(u64),
    /// Send a datagram of at most [`crate::PACKET_BYTES_MAX`] bytes; it may be lost.
    Send {
        /// The peer.
        to: NodeId,
        /// Where it said it can be reached.
        addr: SocketAddr,
        /// What to send.
        bytes: Bytes,
    },
    /// Give the timer back as [`Input::Timer`] after this time; never earlier, and timers that are due in their order.
    Schedule {
        /// How long to wait.
        after: Duration,
        /// What to give back.
        timer: Timer,
    },
    /// A member is seen otherwise than before.
    Event(Event),
}

/// What has changed about a member other than this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It is alive, and was not known, or down, or had left.
    Joined(Member),
    /// It is as alive as before, and something about it is new: metadata, address, incarnation, or it refuted a suspicion.
    Changed(Member),
    /// It missed a probe.
    Suspected(NodeId),
    /// It did not refute the suspicion in time.
    Down(NodeId),
    /// It said that it leaves.
    Left(NodeId),
}

/// A timer of the state machine; only it looks inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timer(pub(crate) TimerKind);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TimerKind {
    /// A timer of SWIM itself.
    Swim(swim::Timer),
    /// Look for those who should be there and are not.
    Seek,
    /// The pause after sending metadata or gossip is over.
    Cooled,
    /// A changed applied index has waited long enough.
    Lazy,
    /// Say once more that this node leaves.
    LeaveAgain,
}
