//! Forming and joining: each side proves to the other that it knows a secret, on this very connection.
//!
//! The dialler proves first. Its proof is a MAC over keying material of the TLS connection, so that one who relays it from
//! another connection, or keeps it, has nothing. The acceptor answers with its own proof, or with the reason it refuses.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use identity::{CertName, ClusterId, Fingerprint};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    time::timeout,
};
use tracing::{info, warn};

use crate::{
    Arrival, CertificateInfo, CloseCode, FrameReceiver, FrameSender, RecvError, Refusal, Secret, SecretId, SendError,
    close::{Far, reason_of},
    credentials::Member,
    dial::peer_chain,
    frame::Context,
    quic::{self, Protocol, SERVER_NAME},
    secret::{Claim, Side},
    shared::Shared,
    stats::Counters,
    verifier::FormVerifier,
};

/// The longest frame while forming or joining, in bytes.
pub(crate) const FORM_FRAME_BYTES_MAX: usize = 1 << 20;

/// The longest frame from one that has not proven anything yet, in bytes.
const OPENING_BYTES_MAX: usize = 1024;

/// How long a forming connection stays after both halves of its stream were dropped, so that what was sent arrives.
const LINGER: Duration = Duration::from_secs(2);

/// The label of the exported keying material (RFC 8446 section 7.5).
const EXPORTER_LABEL: &[u8] = b"EXPORTER-hedgerow-form/1";

/// Who is at the other end of a forming connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormPeer {
    /// Its address on this connection.
    pub addr: SocketAddr,
    /// The hash of its key, which TLS has proven.
    pub fingerprint: Fingerprint,
    /// The key itself, DER `SubjectPublicKeyInfo`: what [`crate::Authority::issue`] wants.
    pub public_key: Vec<u8>,
    /// Which secret was proven.
    pub secret: SecretId,
    /// The node that its certificate names. Checked only if the dial expected an authority; otherwise just a claim.
    pub name: Option<CertName>,
}

/// A connection on which both sides have proven the secret. Dropped, it ends after what was sent has arrived.
#[derive(Debug)]
pub struct FormStream {
    /// Who is at the other end.
    pub peer: FormPeer,
    /// Towards it.
    pub sender: FrameSender,
    /// From it.
    pub receiver: FrameReceiver,
}

impl FormStream {
    /// Sends one value as a frame.
    ///
    /// # Errors
    /// As [`FrameSender::send_msg`].
    pub async fn send_msg<T: Serialize + Sync>(&mut self, message: &T) -> Result<(), SendError> {
        self.sender.send_msg(message).await
    }

    /// The next frame as a value; nothing once the other side has ended.
    ///
    /// # Errors
    /// As [`FrameReceiver::recv_msg`].
    pub async fn recv_msg<T: DeserializeOwned>(&mut self) -> Result<Option<T>, RecvError> {
        self.receiver.recv_msg().await
    }
}

/// Why forming or joining with a node did not begin. Nothing was changed on either side.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// The node refused, and said why.
    #[error("{addr} refused: {refusal}")]
    Refused {
        /// The address that was dialled.
        addr: SocketAddr,
        /// The reason.
        refusal: Refusal,
    },
    /// The node knows the secret's id and not the secret: perhaps not the one it says it is.
    #[error(
        "{addr} could not prove that it knows the secret; compare the secrets, and whether this address is the right node"
    )]
    Unproven {
        /// The address that was dialled.
        addr: SocketAddr,
    },
    /// The node is not of the cluster that the token is for.
    #[error("{addr} did not show a certificate of the token's cluster; it is not a member of it, or not yet: {reason}")]
    WrongAuthority {
        /// The address that was dialled.
        addr: SocketAddr,
        /// What was wrong with what it showed.
        reason: String,
    },
    /// Nobody answered in time.
    #[error("{addr} did not answer within {} ms; see whether it runs and UDP passes", after.as_millis())]
    TimedOut {
        /// The address that was dialled.
        addr: SocketAddr,
        /// How long was waited.
        after: Duration,
    },
    /// The connection could not be made, or was lost.
    #[error("{addr} could not be reached: {reason}")]
    Unreachable {
        /// The address that was dialled.
        addr: SocketAddr,
        /// What went wrong.
        reason: String,
    },
}

/// The dialler's first frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opening {
    pub(crate) secret: SecretId,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) proof: [u8; 32],
}

/// The acceptor's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Answer {
    Proven([u8; 32]),
    Refused(Refusal),
}

// === the dialler's side ===

pub(crate) async fn dial(
    shared: &Shared,
    addr: SocketAddr,
    secret: &Secret,
    expected: Option<Fingerprint>,
) -> Result<FormStream, FormError> {
    let after = shared.limits.handshake_timeout;
    let shaken = timeout(after, shake(shared, addr, expected)).await;
    let connection = shaken.unwrap_or(Err(FormError::TimedOut { addr, after }))?;
    let proven = timeout(after, prove(shared, &connection, addr, secret)).await;
    let proven = proven.unwrap_or(Err(FormError::TimedOut { addr, after }));
    if proven.is_err() {
        CloseCode::FormRefused.close(&connection, "the two did not prove the secret to each other");
    }
    proven
}

async fn shake(
    shared: &Shared,
    addr: SocketAddr,
    expected: Option<Fingerprint>,
) -> Result<quinn::Connection, FormError> {
    let unreachable = |reason: String| FormError::Unreachable { addr, reason };
    let verifier = Arc::new(FormVerifier { authority: expected });
    let crypto = quic::client_crypto(Protocol::Form, shared.alone.clone(), verifier)
        .map_err(|error| unreachable(error.to_string()))?;
    let mut config = quinn::ClientConfig::new(crypto);
    config.transport_config(shared.transport.clone());
    let connecting =
        shared.quinn.connect_with(config, addr, SERVER_NAME).map_err(|error| unreachable(error.to_string()))?;
    connecting.await.map_err(|error| match error {
        quinn::ConnectionError::TransportError(flaw) if expected.is_some() => {
            FormError::WrongAuthority { addr, reason: flaw.reason }
        }
        quinn::ConnectionError::TimedOut => FormError::TimedOut { addr, after: shared.limits.idle_timeout },
        other => unreachable(reason_of(&other)),
    })
}

async fn prove(
    shared: &Shared,
    connection: &quinn::Connection,
    addr: SocketAddr,
    secret: &Secret,
) -> Result<FormStream, FormError> {
    let unreachable = |reason: String| FormError::Unreachable { addr, reason };
    let peer = form_peer(connection, addr, secret.id()).ok_or_else(|| unreachable(NO_CERTIFICATE.to_owned()))?;
    let keys = (shared.key.fingerprint(), peer.fingerprint);
    let claim = |side| claim(connection, side, keys.0, keys.1).ok_or_else(|| unreachable(NO_EXPORTER.to_owned()));
    let (send, receive) = connection.open_bi().await.map_err(|error| unreachable(reason_of(&error)))?;
    let (context, gone) = context(shared, connection, addr);
    let mut sender = FrameSender::new(send, context.clone());
    let mut receiver = FrameReceiver::new(receive, context);
    let opening =
        Opening { secret: secret.id(), cluster: secret.cluster(), proof: secret.prove(&claim(Side::Dialler)?) };
    sender.send_msg(&opening).await.map_err(|error| unreachable(error.to_string()))?;
    match receiver.recv_msg::<Answer>().await.map_err(|error| unreachable(error.to_string()))? {
        Some(Answer::Proven(proof)) if secret.verify(&claim(Side::Acceptor)?, &proof) => {
            shared.runtime.spawn(linger(connection.clone(), gone, None));
            Ok(FormStream { peer, sender, receiver })
        }
        Some(Answer::Proven(_)) => {
            warn!(%addr, "the node could not prove that it knows the secret");
            Err(FormError::Unproven { addr })
        }
        Some(Answer::Refused(refusal)) => Err(FormError::Refused { addr, refusal }),
        None => Err(unreachable("it ended the stream without an answer".to_owned())),
    }
}

const NO_CERTIFICATE: &str = "it showed no readable certificate";
const NO_EXPORTER: &str = "the TLS connection gave no keying material";

// === the acceptor's side ===

pub(crate) async fn accept(
    shared: &Arc<Shared>,
    connection: &quinn::Connection,
    addr: SocketAddr,
    member: Option<&Member>,
) {
    let Ok(permit) = shared.forming.clone().try_acquire_owned() else {
        CloseCode::FormRefused.close(connection, "too many nodes are forming or joining at once; try again");
        return;
    };
    match answer(shared, connection, addr, member).await {
        Ok(None) => {}
        Ok(Some((stream, gone))) => {
            shared.runtime.spawn(linger(connection.clone(), gone, Some(permit)));
            let FormStream { peer, sender, receiver } = stream;
            info!(%addr, secret = %peer.secret, fingerprint = %peer.fingerprint, "a node proved a secret");
            // Does not count into the time of the handshake: the owner of the inbox may be slow.
            let arrivals = shared.outlets.arrivals.clone();
            shared.runtime.spawn(async move {
                let _ = arrivals.send(Arrival::Form { peer, sender, receiver }).await;
            });
        }
        Err(reason) => {
            Counters::add(&shared.counters.proofs_refused);
            shared.log_refusal(addr, &format_args!("a node that wants to join was refused: {reason}"));
            CloseCode::FormRefused.close(connection, &reason);
        }
    }
}

/// Judges the proof of one who dialled and proves in turn; nothing if it was refused and told so.
async fn answer(
    shared: &Shared,
    connection: &quinn::Connection,
    addr: SocketAddr,
    member: Option<&Member>,
) -> Result<Option<(FormStream, oneshot::Receiver<()>)>, String> {
    let (send, receive) = connection.accept_bi().await.map_err(|error| reason_of(&error))?;
    let (context, gone) = context(shared, connection, addr);
    let mut sender = FrameSender::new(send, context.clone());
    let mut receiver = FrameReceiver::new(receive, context);
    receiver.set_bytes_max(OPENING_BYTES_MAX);
    let opening = receiver.recv_msg::<Opening>().await.map_err(|error| error.to_string())?;
    let opening = opening.ok_or("it ended the stream without a proof")?;
    let peer = form_peer(connection, addr, opening.secret).ok_or(NO_CERTIFICATE)?;
    let mine = member.map_or_else(|| shared.key.fingerprint(), |member| member.fingerprint);
    let claim = |side| claim(connection, side, peer.fingerprint, mine).ok_or(NO_EXPORTER);
    match check(shared, member, &peer, &opening, &claim(Side::Dialler)?).await {
        Ok(secret) => {
            let proof = secret.prove(&claim(Side::Acceptor)?);
            sender.send_msg(&Answer::Proven(proof)).await.map_err(|error| error.to_string())?;
            receiver.set_bytes_max(FORM_FRAME_BYTES_MAX);
            Ok(Some((FormStream { peer, sender, receiver }, gone)))
        }
        Err(refusal) => {
            Counters::add(&shared.counters.proofs_refused);
            shared.log_refusal(addr, &format_args!("a node that wants to join was refused: {refusal}"));
            // The dialler closes when it has the answer; should it be lost before, that is no second refusal.
            if sender.send_msg(&Answer::Refused(refusal)).await.is_ok() {
                sender.drained().await;
            }
            CloseCode::FormRefused.close(connection, &refusal.to_string());
            Ok(None)
        }
    }
}

async fn check(
    shared: &Shared,
    member: Option<&Member>,
    peer: &FormPeer,
    opening: &Opening,
    claim: &Claim,
) -> Result<Secret, Refusal> {
    if let (Some(asked), Some(member)) = (opening.cluster, member)
        && asked != member.name.cluster
    {
        return Err(Refusal::WrongCluster);
    }
    if shared.denied.load().fingerprints.contains(&peer.fingerprint) {
        return Err(Refusal::Denied);
    }
    let lookup = shared.secrets.load_full().ok_or(Refusal::NotReady)?;
    let secret = lookup(opening.secret).await?;
    // The id is part of the proof; a lookup that answers with another secret's is a mistake that must not open a door.
    if secret.id() != opening.secret || !secret.verify(claim, &opening.proof) {
        return Err(Refusal::WrongProof);
    }
    Ok(secret)
}

// === both sides ===

fn form_peer(connection: &quinn::Connection, addr: SocketAddr, secret: SecretId) -> Option<FormPeer> {
    let chain = peer_chain(connection);
    let info = CertificateInfo::parse(chain.first()?).ok()?;
    Some(FormPeer { addr, fingerprint: info.fingerprint, public_key: info.public_key, secret, name: info.name })
}

pub(crate) fn claim(
    connection: &quinn::Connection,
    side: Side,
    dialler: Fingerprint,
    acceptor: Fingerprint,
) -> Option<Claim> {
    let mut exporter = [0u8; 32];
    connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"").ok()?;
    Some(Claim { side, exporter, dialler, acceptor })
}

fn context(shared: &Shared, connection: &quinn::Connection, addr: SocketAddr) -> (Context, oneshot::Receiver<()>) {
    let (hold, gone) = oneshot::channel();
    let context = Context {
        far: Far::Address(addr),
        bytes_max: FORM_FRAME_BYTES_MAX,
        connection: connection.clone(),
        counters: shared.counters.clone(),
        _hold: Some(Arc::new(hold)),
    };
    (context, gone)
}

/// Keeps a forming connection until its stream's halves are gone and what they sent has had time to arrive.
async fn linger(connection: quinn::Connection, gone: oneshot::Receiver<()>, _place: Option<OwnedSemaphorePermit>) {
    tokio::select! {
        _ = connection.closed() => return,
        _ = gone => {}
    }
    let _ = timeout(LINGER, connection.closed()).await;
    CloseCode::Done.close(&connection, "done");
}
