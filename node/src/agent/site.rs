//! What a node has before it belongs to any cluster, and keeps through its whole life.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use identity::{MemberRecord, NodeId};
use policy::LocalInterface;
use raft::NewMember;
use rustls::ServerConfig;
use tokio::sync::watch;
use transport::{DenyList, Endpoint, NodeKey, tls};

use super::{disk::Disk, enforce::EnforcerHandle, enrolment::Enrolment, flows::FlowLog, interfaces};
use crate::config::Config;

/// The fixed surroundings of a node.
pub(crate) struct Site {
    /// What the operator said.
    pub(crate) config: Config,
    /// The state directory.
    pub(crate) disk: Disk,
    /// The node's own key; it never leaves the node.
    pub(crate) key: NodeKey,
    /// The QUIC endpoint.
    pub(crate) endpoint: Endpoint,
    /// The data path.
    pub(crate) enforcer: EnforcerHandle,
    /// What the data path has told of single packets.
    pub(crate) flows: Arc<FlowLog>,
    /// The interfaces as they were at start.
    pub(crate) interfaces: Vec<LocalInterface>,
    /// The keys of the remote API; none before the node has a certificate.
    pub(crate) tls_keys: watch::Sender<Option<Arc<ServerConfig>>>,
    /// Removed members and revoked keys: nobody speaks with them (G12).
    pub(crate) denied: watch::Sender<DenyList>,
}

impl Site {
    /// How this node introduces itself to a cluster.
    #[must_use]
    pub(crate) fn newcomer(&self) -> NewMember {
        NewMember {
            name: self.config.name.clone(),
            endpoint: self.config.cluster.listen,
            api: self.config.api.listen,
            fingerprint: self.key.fingerprint(),
            addresses: interfaces::member_addresses(self.listen().ip(), &self.interfaces),
            witness: self.config.is_witness(),
        }
    }

    /// The same as the record of member `node`.
    #[must_use]
    pub(crate) fn record(&self, node: NodeId) -> MemberRecord {
        self.newcomer().into_record(node)
    }

    /// Proves the node's identity with this enrolment from now on, to its peers and to callers of the remote API.
    ///
    /// # Errors
    /// The certificate is not usable; what was used before still is.
    pub(crate) fn use_enrolment(&self, enrolment: &Enrolment) -> Result<(), EnrolError> {
        let credentials = enrolment.credentials(&self.key);
        let keys = tls::server_config(&credentials, true)?;
        self.endpoint.set_credentials(&credentials)?;
        self.tls_keys.send_replace(Some(keys));
        Ok(())
    }

    /// Cuts off removed members and revoked keys, from the endpoint and from the remote API, at once (G12).
    pub(crate) fn deny(&self, denied: DenyList) {
        if *self.denied.borrow() == denied {
            return;
        }
        self.endpoint.set_denied(denied.clone());
        self.denied.send_replace(denied);
    }

    /// Where the endpoint listens.
    #[must_use]
    pub(crate) fn listen(&self) -> SocketAddr {
        self.config.cluster.listen
    }
}

/// Why an enrolment cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EnrolError {
    /// By peers.
    #[error(transparent)]
    Credentials(#[from] transport::CredentialsError),
    /// By callers of the remote API.
    #[error(transparent)]
    Tls(#[from] tls::TlsError),
}

/// The site, shared.
pub(crate) type SharedSite = Arc<Site>;

/// The wall clock in milliseconds since 1970: for people and for the expiry of tokens, never for safety (G10).
#[must_use]
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
