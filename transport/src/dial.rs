//! Making a link to a member: one dial at a time, its result shared by all who wait for it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use identity::NodeId;
use tokio::{sync::watch, time::timeout};
use tracing::info;

use crate::{
    CloseCode, FrameReceiver, FrameSender,
    close::reason_of,
    credentials::Member,
    frame::RecvError,
    judge::{PeerRefused, Question},
    link::{Greeting, install},
    peers::{Link, Peer, PeerState},
    quic::{self, Protocol, SERVER_NAME},
    shared::Shared,
    stats::Counters,
    verifier::{DialledVerifier, Note},
};

/// TLS alert 120, `no_application_protocol` (RFC 7301 section 3.2), as a QUIC error code (RFC 9001 section 4.8).
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// Why there is no connection to a member. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// This node has no certificate.
    #[error("{node} was not dialled: this node is not a member of a cluster yet")]
    NotAMember {
        /// The node to be dialled.
        node: NodeId,
    },
    /// A node does not dial itself.
    #[error("{node} was not dialled: it is this node")]
    Myself {
        /// This node.
        node: NodeId,
    },
    /// Its address is not known.
    #[error("{node} was not dialled: its address is not known")]
    UnknownNode {
        /// The node to be dialled.
        node: NodeId,
    },
    /// It is on the deny-list.
    #[error("{node} was not dialled: it was removed from the cluster or its key revoked")]
    Denied {
        /// The node to be dialled.
        node: NodeId,
    },
    /// This node refused the certificate of the one that answered.
    #[error("{node} at {addr} was refused: {refused}")]
    Refused {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
        /// What is wrong with the certificate.
        refused: PeerRefused,
    },
    /// The one that answered refused this node.
    #[error("{node} at {addr} refused this node: {reason}")]
    RefusedByPeer {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
        /// In the words of the other side.
        reason: String,
    },
    /// The one that answered belongs to no cluster yet.
    #[error("{node} at {addr} is not a member of a cluster yet")]
    PeerNotAMember {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
    },
    /// The pair has another connection, which this side has not seen yet, or takes for lost.
    #[error("{node} at {addr} keeps another connection to this node; try again at once")]
    Duplicate {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
    },
    /// Nobody answered in time.
    #[error("{node} at {addr} did not answer within {} ms; see whether it runs and UDP passes", after.as_millis())]
    TimedOut {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The connection could not be made, or was lost at once.
    #[error("{node} at {addr} could not be reached: {reason}")]
    Unreachable {
        /// The node that was dialled.
        node: NodeId,
        /// Where it was dialled.
        addr: SocketAddr,
        /// What went wrong.
        reason: String,
    },
    /// The endpoint goes down.
    #[error("{node} was not dialled: this node shuts down")]
    Closing {
        /// The node to be dialled.
        node: NodeId,
    },
}

/// Where a request for a link stands.
pub(crate) enum Begun {
    Live(Arc<Link>),
    Dialling(watch::Receiver<PeerState>),
}

/// The link to a member; dials if there is none.
pub(crate) async fn link(shared: &Arc<Shared>, node: NodeId, hint: Option<SocketAddr>) -> Result<Arc<Link>, DialError> {
    let mut state = match begin(shared, node, hint)? {
        Begun::Live(link) => return Ok(link),
        Begun::Dialling(state) => state,
    };
    let closing = DialError::Closing { node };
    let ended = tokio::select! {
        () = shared.closing.cancelled() => return Err(closing),
        ended = state.wait_for(|state| state.live().is_some() || !state.is_dialling()) => ended,
    };
    let Ok(state) = ended else { return Err(closing) };
    match (state.live(), state.failure()) {
        (Some(link), _) => Ok(link),
        (None, Some((_, error))) => Err(error.clone()),
        // Made and lost before this task looked.
        (None, None) => Err(DialError::Duplicate { node, addr: address(shared, node, hint)? }),
    }
}

/// Gives the link to a member, or sees to it that a dial is under way.
pub(crate) fn begin(shared: &Arc<Shared>, node: NodeId, hint: Option<SocketAddr>) -> Result<Begun, DialError> {
    let member = shared.member.load_full().ok_or(DialError::NotAMember { node })?;
    if member.name.node == node {
        return Err(DialError::Myself { node });
    }
    if shared.denied.load().nodes.contains(&node) {
        return Err(DialError::Denied { node });
    }
    if shared.closing.is_cancelled() {
        return Err(DialError::Closing { node });
    }
    let peer = shared.peers.peer(node);
    let mut answer = None;
    let begins = peer.state.send_if_modified(|state| {
        if let Some(link) = state.live() {
            answer = Some(Ok(Begun::Live(link)));
            return false;
        }
        if state.is_dialling() {
            return false;
        }
        if let Some((at, error)) = state.failure()
            && at.elapsed() < shared.limits.redial_pause
        {
            answer = Some(Err(error.clone()));
            return false;
        }
        match address(shared, node, hint) {
            Ok(_) => state.begin_dial(),
            Err(error) => answer = Some(Err(error)),
        }
        state.is_dialling()
    });
    if let Some(answer) = answer {
        return answer;
    }
    let state = peer.state.subscribe();
    if begins {
        let addr = address(shared, node, hint)?;
        shared.runtime.spawn(run(shared.clone(), peer, member, addr));
    }
    Ok(Begun::Dialling(state))
}

/// The committed address goes before the hint.
fn address(shared: &Shared, node: NodeId, hint: Option<SocketAddr>) -> Result<SocketAddr, DialError> {
    shared.directory.load().get(&node).copied().or(hint).ok_or(DialError::UnknownNode { node })
}

async fn run(shared: Arc<Shared>, peer: Arc<Peer>, member: Arc<Member>, addr: SocketAddr) {
    let (node, after) = (peer.node, shared.limits.handshake_timeout);
    let dialled = timeout(after, dial(&shared, &member, node, addr)).await;
    let result = match dialled.unwrap_or(Err(DialError::TimedOut { node, addr, after })) {
        Ok(link) => {
            install(&shared, &peer, &link, member.name.node);
            Ok(())
        }
        // The other side's dial went first, and its link is here.
        Err(DialError::Duplicate { .. }) if peer.state.borrow().live().is_some() => Ok(()),
        Err(error) => {
            Counters::add(&shared.counters.dials_failed);
            info!(%node, %addr, "dial failed: {error}");
            Err(error)
        }
    };
    peer.end_dial(result);
}

async fn dial(shared: &Shared, member: &Arc<Member>, node: NodeId, addr: SocketAddr) -> Result<Arc<Link>, DialError> {
    let note = Arc::new(Note::default());
    let unreachable = |reason: String| DialError::Unreachable { node, addr, reason };
    let config = client_config(shared, member, node, &note).map_err(|e| unreachable(e.to_string()))?;
    let connecting = shared.quinn.connect_with(config, addr, SERVER_NAME).map_err(|e| unreachable(e.to_string()))?;
    let connection = connecting.await.map_err(|error| explain(shared, &note, (node, addr), &error))?;
    let Some(Ok(identity)) = note.verdict() else {
        CloseCode::Protocol.close(&connection, "the certificate was not judged");
        return Err(unreachable("its certificate was not judged".to_owned()));
    };
    let greeted = greet(shared, &connection, node).await;
    let instance = match (greeted, connection.close_reason()) {
        (Ok(greeting), None) => greeting.instance,
        (_, Some(error)) => return Err(explain(shared, &note, (node, addr), &error)),
        (Err(error), None) => {
            CloseCode::Protocol.close(&connection, "no greeting");
            return Err(unreachable(error));
        }
    };
    let chain = peer_chain(&connection);
    Ok(Arc::new(Link { connection, node, fingerprint: identity.fingerprint, chain, dialled: true, instance }))
}

fn client_config(
    shared: &Shared,
    member: &Arc<Member>,
    node: NodeId,
    note: &Arc<Note>,
) -> Result<quinn::ClientConfig, quic::CryptoError> {
    let verifier = DialledVerifier {
        member: member.clone(),
        denied: shared.denied.load_full(),
        question: Question::Dialled(node),
        note: note.clone(),
    };
    let crypto = quic::client_crypto(Protocol::Cluster, member.shown.clone(), Arc::new(verifier))?;
    let mut config = quinn::ClientConfig::new(crypto);
    config.transport_config(shared.transport.clone());
    Ok(config)
}

/// Says hello and waits for the answer: only then has the other side accepted this node's certificate, too.
async fn greet(shared: &Shared, connection: &quinn::Connection, node: NodeId) -> Result<Greeting, String> {
    let (send, receive) = connection.open_bi().await.map_err(|error| reason_of(&error))?;
    let context = shared.greeting_context(node, connection);
    let mut sender = FrameSender::new(send, context.clone());
    sender.send_msg(&Greeting { instance: shared.instance }).await.map_err(|error| error.to_string())?;
    let answer = FrameReceiver::new(receive, context).recv_msg::<Greeting>().await;
    let none = RecvError::Cut { peer: node.to_string() };
    answer.and_then(|greeting| greeting.ok_or(none)).map_err(|error| error.to_string())
}

fn explain(
    shared: &Shared,
    note: &Note,
    (node, addr): (NodeId, SocketAddr),
    error: &quinn::ConnectionError,
) -> DialError {
    if let Some(Err(refused)) = note.verdict() {
        return DialError::Refused { node, addr, refused };
    }
    let reason = reason_of(error);
    match (error, CloseCode::of(error)) {
        (_, Some(CloseCode::Duplicate)) => DialError::Duplicate { node, addr },
        (_, Some(_)) => DialError::RefusedByPeer { node, addr, reason },
        (quinn::ConnectionError::ConnectionClosed(close), _) => match u64::from(close.error_code) {
            NO_APPLICATION_PROTOCOL => DialError::PeerNotAMember { node, addr },
            _ => DialError::RefusedByPeer { node, addr, reason },
        },
        // Quinn gives up after the idle time-out if that is the shorter one.
        (quinn::ConnectionError::TimedOut, _) => DialError::TimedOut { node, addr, after: shared.limits.idle_timeout },
        _ => DialError::Unreachable { node, addr, reason },
    }
}

/// The certificates that the other side showed, its own first.
pub(crate) fn peer_chain(connection: &quinn::Connection) -> Vec<rustls_pki_types::CertificateDer<'static>> {
    connection.peer_identity().and_then(|any| any.downcast().ok()).map(|chain| *chain).unwrap_or_default()
}
