//! Who is connected: at most one link per member, and at most one dial to it at a time.

use std::{
    collections::{HashMap, VecDeque},
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use identity::{Fingerprint, NodeId};
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;

use crate::{close::Far, dial::DialError};

/// Datagrams that wait for a dial to succeed, per member; the oldest go first.
const DATAGRAMS_PENDING_MAX: usize = 16;

/// A connection to a member whose certificate was accepted.
pub(crate) struct Link {
    pub(crate) connection: quinn::Connection,
    pub(crate) node: NodeId,
    pub(crate) fingerprint: Fingerprint,
    /// The member's certificates, to be judged anew when credentials change.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Whether this node dialled.
    pub(crate) dialled: bool,
    /// Which life of the member's process this is.
    pub(crate) instance: u64,
}

impl Link {
    pub(crate) fn is_alive(&self) -> bool {
        self.connection.close_reason().is_none()
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.connection.remote_address()
    }

    pub(crate) fn far(&self) -> Far {
        Far::Node(self.node)
    }

    fn is_same(&self, other: &Self) -> bool {
        self.connection.stable_id() == other.connection.stable_id()
    }

    /// Whether this new link takes the place of an old one. Both ends come to the same answer: when the two dialled each
    /// other at the same time, the link dialled by the lower node id stays.
    fn replaces(&self, old: &Self, me: NodeId) -> bool {
        !old.is_alive()
            // The member was restarted: its former life has no links any more.
            || self.instance != old.instance
            // The dialler knows best whether its earlier link is lost.
            || self.dialled == old.dialled
            || self.dialled == (me < self.node)
    }
}

/// What is known about the connection to one member.
#[derive(Default)]
pub(crate) struct PeerState {
    link: Option<Arc<Link>>,
    dialling: bool,
    failure: Option<(Instant, DialError)>,
}

impl PeerState {
    pub(crate) fn live(&self) -> Option<Arc<Link>> {
        self.link.as_ref().filter(|link| link.is_alive()).cloned()
    }

    pub(crate) fn is_dialling(&self) -> bool {
        self.dialling
    }

    pub(crate) fn failure(&self) -> Option<&(Instant, DialError)> {
        self.failure.as_ref()
    }

    pub(crate) fn begin_dial(&mut self) {
        self.dialling = true;
        self.failure = None;
    }
}

/// One member.
pub(crate) struct Peer {
    pub(crate) node: NodeId,
    pub(crate) state: watch::Sender<PeerState>,
    pending: Mutex<VecDeque<Bytes>>,
}

/// What became of a new link.
pub(crate) enum Installed {
    /// It is the link now; the one before, if any, is to be closed.
    New(Option<Arc<Link>>),
    /// The one before stays; the new one is to be closed.
    Kept,
}

impl Peer {
    fn new(node: NodeId) -> Self {
        Self { node, state: watch::Sender::new(PeerState::default()), pending: Mutex::default() }
    }

    pub(crate) fn install(&self, link: &Arc<Link>, me: NodeId) -> Installed {
        let mut outcome = Installed::Kept;
        self.state.send_modify(|state| {
            if state.link.as_ref().is_some_and(|old| !link.replaces(old, me)) {
                return;
            }
            state.failure = None;
            outcome = Installed::New(state.link.replace(link.clone()).filter(|old| old.is_alive()));
        });
        outcome
    }

    pub(crate) fn end_dial(&self, result: Result<(), DialError>) {
        if result.is_err() {
            self.discard();
        }
        self.state.send_modify(|state| {
            state.dialling = false;
            state.failure = result.err().map(|error| (Instant::now(), error));
        });
    }

    /// Forgets a link that ended; says whether it was the current one.
    pub(crate) fn remove(&self, link: &Link) -> bool {
        self.state.send_if_modified(|state| {
            let current = state.link.as_ref().is_some_and(|now| now.is_same(link));
            if current {
                state.link = None;
            }
            current
        })
    }

    pub(crate) fn forget_failure(&self) {
        self.state.send_modify(|state| state.failure = None);
    }

    /// Keeps a datagram until [`Peer::flush`]; the oldest goes if there are too many.
    pub(crate) fn keep(&self, datagram: Bytes) {
        let mut pending = self.lock_pending();
        if pending.len() == DATAGRAMS_PENDING_MAX {
            pending.pop_front();
        }
        pending.push_back(datagram);
    }

    /// Drops the datagrams that were kept: later they would be news from the past.
    pub(crate) fn discard(&self) {
        self.lock_pending().clear();
    }

    /// Sends the datagrams that were kept.
    pub(crate) fn flush(&self, link: &Link) -> Result<(), quinn::SendDatagramError> {
        let kept = std::mem::take(&mut *self.lock_pending());
        kept.into_iter().try_for_each(|datagram| link.connection.send_datagram(datagram))
    }

    fn lock_pending(&self) -> std::sync::MutexGuard<'_, VecDeque<Bytes>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All members that this endpoint had to do with.
#[derive(Default)]
pub(crate) struct Peers {
    table: Mutex<HashMap<NodeId, Arc<Peer>>>,
}

impl Peers {
    pub(crate) fn peer(&self, node: NodeId) -> Arc<Peer> {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        table.entry(node).or_insert_with(|| Arc::new(Peer::new(node))).clone()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Peer>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        let mut links: Vec<_> = self.all().iter().filter_map(|peer| peer.state.borrow().live()).collect();
        links.sort_by_key(|link| link.node);
        links
    }
}
