//! What all parts of one endpoint share.

use std::{collections::BTreeMap, net::SocketAddr, pin::Pin, sync::Arc, time::Instant};

use arc_swap::{ArcSwap, ArcSwapOption};
use identity::NodeId;
use rustls::sign::CertifiedKey;
use tokio::{runtime::Handle, sync::Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::{
    DenyList, Limits, NodeKey, Refusal, Secret, SecretId,
    close::Far,
    credentials::Member,
    frame::Context,
    inbox::Outlets,
    link::GREETING_BYTES_MAX,
    peers::{Link, Peers},
    quic::{self, CryptoError},
    stats::Counters,
    throttle::Throttle,
    verifier::{DiallerVerifier, Note},
};

/// Looks a secret up by its id, or says why it opens nothing.
pub(crate) type SecretLookup = Box<dyn Fn(SecretId) -> SecretAnswer + Send + Sync>;

/// What a look-up is about to find.
pub(crate) type SecretAnswer = Pin<Box<dyn Future<Output = Result<Secret, Refusal>> + Send>>;

/// One endpoint.
pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) key: NodeKey,
    /// The self-signed certificate: shown before there is a cluster.
    pub(crate) alone: Arc<CertifiedKey>,
    /// Random, one per life of the process: tells a restarted peer from one that dials twice.
    pub(crate) instance: u64,
    pub(crate) quinn: quinn::Endpoint,
    pub(crate) transport: Arc<quinn::TransportConfig>,
    pub(crate) server_base: quinn::ServerConfig,
    pub(crate) member: ArcSwapOption<Member>,
    pub(crate) denied: ArcSwap<DenyList>,
    pub(crate) directory: ArcSwap<BTreeMap<NodeId, SocketAddr>>,
    pub(crate) secrets: ArcSwapOption<SecretLookup>,
    pub(crate) peers: Peers,
    pub(crate) outlets: Outlets,
    pub(crate) counters: Arc<Counters>,
    pub(crate) refusals: Throttle,
    pub(crate) forming: Arc<Semaphore>,
    pub(crate) runtime: Handle,
    pub(crate) closing: CancellationToken,
}

impl Shared {
    /// Logs that someone was turned away, unless too many were.
    pub(crate) fn log_refusal(&self, addr: SocketAddr, what: &dyn std::fmt::Display) {
        if let Some(withheld) = self.refusals.pass(Instant::now()) {
            warn!(%addr, withheld, "{what}");
        }
    }

    /// The configuration for one connection that arrives; what its handshake finds out goes to `note`.
    pub(crate) fn server_config(
        &self,
        member: Option<Arc<Member>>,
        note: Arc<Note>,
    ) -> Result<quinn::ServerConfig, CryptoError> {
        let verifier = DiallerVerifier { member, alone: self.alone.clone(), denied: self.denied.load_full(), note };
        let mut config = self.server_base.clone();
        config.crypto = quic::server_crypto(Arc::new(verifier))?;
        Ok(config)
    }

    /// What the halves of a stream on this link need to know.
    pub(crate) fn context(&self, link: &Link, bytes_max: usize) -> Context {
        self.context_to(link.far(), &link.connection, bytes_max)
    }

    /// The same of the stream of greetings, when there is no link yet.
    pub(crate) fn greeting_context(&self, node: NodeId, connection: &quinn::Connection) -> Context {
        self.context_to(Far::Node(node), connection, GREETING_BYTES_MAX)
    }

    fn context_to(&self, far: Far, connection: &quinn::Connection, bytes_max: usize) -> Context {
        Context { far, bytes_max, connection: connection.clone(), counters: self.counters.clone(), _hold: None }
    }
}
