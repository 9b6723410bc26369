//! The endpoint of a node: one UDP socket, one connection per member, and what the rest of the node asks of it.

use std::{
    collections::BTreeMap,
    fmt,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use identity::{CertName, Fingerprint, NodeId};
use ring::rand::{SecureRandom, SystemRandom};
use rustls::sign::CertifiedKey;
use rustls_pki_types::UnixTime;
use tokio::{runtime::Handle, sync::Semaphore, time::timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::{info, warn};

use crate::{
    CloseCode, Credentials, CredentialsError, DenyList, DialError, FormError, FormStream, FrameReceiver, FrameSender,
    Inbox, Limits, NodeKey, PeerStatus, Refusal, Secret, SecretId, Stats, StreamKind,
    credentials::Member,
    dial::{self, Begun},
    form,
    inbox::{Outlets, inbox},
    intake,
    judge::{Question, judge},
    link,
    peers::Peers,
    quic,
    shared::{SecretLookup, Shared},
    stats::Counters,
    throttle::Throttle,
    tls::provider,
    verifier::{DiallerVerifier, Note},
};

/// The longest datagram, in bytes: fits into the smallest packet that QUIC promises to carry unfragmented.
pub const DATAGRAM_BYTES_MAX: usize = 1_100;

/// How long [`Endpoint::shutdown`] waits for the peers to hear of it.
const SHUTDOWN_WAIT: Duration = Duration::from_secs(1);

/// How an endpoint is set up.
#[derive(Debug, Clone)]
pub struct BindConfig {
    /// The UDP address on the cluster interface; port 0 takes any.
    pub listen: SocketAddr,
    /// Times and bounds.
    pub limits: Limits,
    /// The node's own key.
    pub key: NodeKey,
}

/// Why there is no endpoint. No socket stays open.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address cannot be listened on.
    #[error(
        "cannot listen on UDP {listen}: {error}; see whether the address is on this machine and no other process uses the port"
    )]
    Socket {
        /// The address.
        listen: SocketAddr,
        /// What the system said.
        error: std::io::Error,
    },
    /// The node's key cannot be used.
    #[error("cannot use the node's key: {0}")]
    Key(String),
    /// The cryptographic library refused to work.
    #[error("TLS could not be set up: {0}")]
    Crypto(String),
    /// Called outside of a tokio runtime.
    #[error("an endpoint needs a tokio runtime; call bind from within one")]
    Runtime,
}

/// Why no stream was opened. Nothing was sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// There is no connection.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection was lost meanwhile.
    #[error("no stream to {node}: {reason}; try again")]
    Lost {
        /// The member.
        node: NodeId,
        /// How it was lost.
        reason: String,
    },
    /// The member accepts no more streams at the moment.
    #[error("no stream to {node} within {} ms: it has as many open as it allows; close some or try again", after.as_millis())]
    Full {
        /// The member.
        node: NodeId,
        /// How long was waited.
        after: Duration,
    },
}

/// Why a datagram was not sent. Datagrams that were accepted may still be lost.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// There is no connection, and none is being made.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// It is longer than a datagram may be.
    #[error(
        "a datagram of {bytes} bytes for {node} was not sent: at most {bytes_max} are carried; send less or use a stream"
    )]
    TooLong {
        /// The member.
        node: NodeId,
        /// Its length.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// The connection was lost meanwhile, or the member takes no datagrams.
    #[error("a datagram for {node} was not sent: {reason}")]
    Lost {
        /// The member.
        node: NodeId,
        /// What went wrong.
        reason: String,
    },
}

/// The endpoint of a node. Cheap to clone; when the last clone is dropped all connections are closed.
#[derive(Clone)]
pub struct Endpoint {
    pub(crate) shared: Arc<Shared>,
    local_addr: SocketAddr,
    _closes: Arc<DropGuard>,
}

impl Endpoint {
    /// Listens and dials from one UDP socket. Until [`Endpoint::set_credentials`] it can only form and join.
    ///
    /// # Errors
    /// The address cannot be used, or there is no tokio runtime.
    pub fn bind(config: BindConfig) -> Result<(Self, Inbox), BindError> {
        let runtime = Handle::try_current().map_err(|_| BindError::Runtime)?;
        let (outlets, inbox) = inbox(&config.limits);
        let shared = Arc::new(assemble(config, outlets, runtime)?);
        let local_addr = shared.quinn.local_addr().map_err(|e| BindError::Crypto(e.to_string()))?;
        shared.runtime.spawn(intake::accept(shared.clone()));
        let closes = Arc::new(shared.closing.clone().drop_guard());
        Ok((Self { shared, local_addr, _closes: closes }, inbox))
    }

    /// The address that was bound, with its port.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The hash of the node's key.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.shared.key.fingerprint()
    }

    /// The name in the certificate in use; nothing before the node is a member.
    #[must_use]
    pub fn name(&self) -> Option<CertName> {
        self.shared.member.load().as_ref().map(|member| member.name)
    }

    /// Uses these from now on: after forming or joining, and on renewal. Connections go on, unless the peer's certificate
    /// does not satisfy the new credentials.
    ///
    /// # Errors
    /// They cannot be used; the ones before stay in use.
    pub fn set_credentials(&self, credentials: &Credentials) -> Result<(), CredentialsError> {
        let member = Arc::new(Member::new(credentials)?);
        self.shared.member.store(Some(member.clone()));
        self.forget_failures();
        let denied = self.shared.denied.load();
        for link in self.shared.peers.links() {
            let question = if link.dialled { Question::Dialled(link.node) } else { Question::Dialler };
            if let Err(refused) = judge(&member, &denied, question, &link.chain, UnixTime::now()) {
                warn!(node = %link.node, "closing the connection after a change of credentials: {refused}");
                CloseCode::Untrusted.close(&link.connection, &refused.to_string());
            }
        }
        Ok(())
    }

    /// Where the members are. Replaces what was said before; connections go on.
    pub fn set_directory(&self, members: Vec<(NodeId, SocketAddr)>) {
        let new: BTreeMap<_, _> = members.into_iter().collect();
        let old = self.shared.directory.swap(Arc::new(new.clone()));
        for (node, addr) in new {
            if old.get(&node) != Some(&addr) {
                self.shared.peers.peer(node).forget_failure();
            }
        }
    }

    /// With whom no connection is made or kept. Replaces what was said before; connections to them end at once (G12).
    pub fn set_denied(&self, denied: DenyList) {
        let denied = Arc::new(denied);
        self.shared.denied.store(denied.clone());
        self.forget_failures();
        for link in self.shared.peers.links() {
            if denied.nodes.contains(&link.node) || denied.fingerprints.contains(&link.fingerprint) {
                info!(node = %link.node, "closing the connection: the node was removed or its key revoked");
                CloseCode::Denied.close(&link.connection, "the node was removed or its key revoked");
            }
        }
    }

    /// Which secrets let others form or join with this node; asked for each attempt, [`Limits::handshakes_max`] at once at
    /// most. The answer must come well within [`Limits::handshake_timeout`]. Before this is called no secret does.
    pub fn set_form_secrets<F, A>(&self, lookup: F)
    where
        F: Fn(SecretId) -> A + Send + Sync + 'static,
        A: Future<Output = Result<Secret, Refusal>> + Send + 'static,
    {
        let lookup: SecretLookup = Box::new(move |id| Box::pin(lookup(id)));
        self.shared.secrets.store(Some(Arc::new(lookup)));
    }

    /// A new stream to a member; dials if there is no connection.
    ///
    /// # Errors
    /// There is no connection to be had, or the member allows no more streams.
    pub async fn open(&self, node: NodeId, kind: StreamKind) -> Result<(FrameSender, FrameReceiver), OpenError> {
        let link = dial::link(&self.shared, node, None).await?;
        let after = self.shared.limits.handshake_timeout;
        match timeout(after, link::open_stream(&self.shared, &link, kind)).await {
            Ok(opened) => opened.map_err(|reason| OpenError::Lost { node, reason }),
            Err(_) => Err(OpenError::Full { node, after }),
        }
    }

    /// Sends a datagram to a member. Without a connection it is kept while one is made; `addr_hint` is where to dial if
    /// the directory does not know the member. Does not wait.
    ///
    /// # Errors
    /// It is too long, or there is no connection to be had. May be called from outside of the runtime.
    pub fn send_datagram(
        &self,
        node: NodeId,
        addr_hint: Option<SocketAddr>,
        bytes: Bytes,
    ) -> Result<(), DatagramError> {
        let length = bytes.len();
        let too_long = |bytes_max| DatagramError::TooLong { node, bytes: length, bytes_max };
        if length > DATAGRAM_BYTES_MAX {
            return Err(too_long(DATAGRAM_BYTES_MAX));
        }
        let peer = self.shared.peers.peer(node);
        // Kept first: should a dial end right now, one of the two flushes finds it.
        peer.keep(bytes);
        let link = match dial::begin(&self.shared, node, addr_hint) {
            Ok(Begun::Live(link)) => link,
            Ok(Begun::Dialling(_)) => return Ok(()),
            Err(error) => {
                peer.discard();
                return Err(error.into());
            }
        };
        peer.flush(&link).map_err(|error| match error {
            quinn::SendDatagramError::TooLarge => too_long(link.connection.max_datagram_size().unwrap_or(0)),
            other => DatagramError::Lost { node, reason: other.to_string() },
        })
    }

    /// Dials a node to form or join: proves the secret to it and has it prove the secret. With `expect_ca` only a member
    /// that shows a certificate of that authority is believed.
    ///
    /// # Errors
    /// The node refused and said why, is not what it should be, or was not reached.
    pub async fn dial_form(
        &self,
        addr: SocketAddr,
        secret: &Secret,
        expect_ca: Option<Fingerprint>,
    ) -> Result<FormStream, FormError> {
        form::dial(&self.shared, addr, secret, expect_ca).await
    }

    /// What made dials fail may be over.
    fn forget_failures(&self) {
        self.shared.peers.all().iter().for_each(|peer| peer.forget_failure());
    }

    /// The members with whom there is a connection, by id.
    #[must_use]
    pub fn peers(&self) -> Vec<PeerStatus> {
        let status = |link: &crate::peers::Link| {
            let path = link.connection.stats().path;
            PeerStatus {
                node: link.node,
                addr: link.addr(),
                dialled: link.dialled,
                round_trip: link.connection.rtt(),
                packets_lost: path.lost_packets,
                payload_bytes_max: path.current_mtu,
            }
        };
        self.shared.peers.links().iter().map(|link| status(link)).collect()
    }

    /// What was counted since the endpoint was bound.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.read()
    }

    /// Closes all connections, tells the peers, and frees the socket's tasks.
    pub async fn shutdown(&self) {
        self.shared.closing.cancel();
        for link in self.shared.peers.links() {
            CloseCode::Shutdown.close(&link.connection, "the node shuts down");
        }
        let _ = timeout(SHUTDOWN_WAIT, self.shared.quinn.wait_idle()).await;
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint").field("listen", &self.local_addr).field("name", &self.name()).finish_non_exhaustive()
    }
}

fn assemble(config: BindConfig, outlets: Outlets, runtime: Handle) -> Result<Shared, BindError> {
    let BindConfig { listen, limits, key } = config;
    let crypto_failed = |e: &dyn fmt::Display| BindError::Crypto(e.to_string());
    let certificate = key.self_signed().map_err(|e| BindError::Key(e.to_string()))?;
    let alone = CertifiedKey::from_der(vec![certificate], key.private_der(), &provider())
        .map_err(|e| BindError::Key(e.to_string()))?;
    let alone = Arc::new(alone);
    let mut instance = [0u8; 8];
    SystemRandom::new().fill(&mut instance).map_err(|_| crypto_failed(&"the system gave no random numbers"))?;
    let nobody =
        DiallerVerifier { member: None, alone: alone.clone(), denied: Arc::default(), note: Arc::new(Note::default()) };
    let crypto = quic::server_crypto(Arc::new(nobody)).map_err(|e| crypto_failed(&e))?;
    let server_base = quic::server_base(crypto, quic::unproven_transport(&limits));
    let socket = |error| BindError::Socket { listen, error };
    let quinn = quinn::Endpoint::new(
        quic::endpoint_config(&key),
        Some(server_base.clone()),
        UdpSocket::bind(listen).map_err(socket)?,
        Arc::new(quinn::TokioRuntime),
    )
    .map_err(socket)?;
    Ok(Shared {
        forming: Arc::new(Semaphore::new(limits.forming_max)),
        transport: quic::transport(&limits),
        limits,
        key,
        alone,
        instance: u64::from_le_bytes(instance),
        quinn,
        server_base,
        member: ArcSwapOption::empty(),
        denied: ArcSwap::default(),
        directory: ArcSwap::default(),
        secrets: ArcSwapOption::empty(),
        peers: Peers::default(),
        outlets,
        counters: Arc::new(Counters::default()),
        refusals: Throttle::default(),
        runtime,
        closing: CancellationToken::new(),
    })
}
