//! What a member shows and what it believes: its certificate and key, the accepted authorities, the deny-list.

use std::{collections::BTreeSet, fmt, sync::Arc};

use identity::{CertName, Fingerprint, NodeId};
use rustls::{RootCertStore, server::WebPkiClientVerifier, server::danger::ClientCertVerifier, sign::CertifiedKey};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::{certificate::CertificateInfo, tls::provider};

/// The certificate of a member with its key, and the authorities whose certificates it accepts.
pub struct Credentials {
    /// The name in the certificate.
    pub name: CertName,
    /// The certificate, then any that lie between it and an authority.
    pub chain: Vec<CertificateDer<'static>>,
    /// The private key of the certificate.
    pub key: PrivateKeyDer<'static>,
    /// The accepted authorities: one, or two while the cluster changes from one to the next.
    pub roots: Vec<CertificateDer<'static>>,
}

/// Why credentials cannot be used. The ones in use before stay in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialsError {
    /// There is no certificate, or the first one cannot be read.
    #[error("the certificate of {name} cannot be used: {reason}")]
    Certificate {
        /// The name it should have.
        name: CertName,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate names another node.
    #[error("the certificate should name {expected}, it names {found:?}")]
    Name {
        /// The name it should have.
        expected: CertName,
        /// The name it has.
        found: Option<CertName>,
    },
    /// Key and certificate do not belong together.
    #[error("the private key does not belong to the certificate of {name}: {reason}")]
    Key {
        /// The name in the certificate.
        name: CertName,
        /// What is wrong.
        reason: String,
    },
    /// There is no authority, or one cannot be read.
    #[error("the authorities that {name} should accept cannot be used: {reason}")]
    Roots {
        /// The name in the certificate.
        name: CertName,
        /// What is wrong.
        reason: String,
    },
}

/// Nodes and keys with which no connection is made or kept.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DenyList {
    /// Removed nodes.
    pub nodes: BTreeSet<NodeId>,
    /// Revoked keys.
    pub fingerprints: BTreeSet<Fingerprint>,
}

impl Clone for Credentials {
    fn clone(&self) -> Self {
        Self { name: self.name, chain: self.chain.clone(), key: self.key.clone_key(), roots: self.roots.clone() }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("name", &self.name)
            .field("roots", &self.roots.len())
            .finish_non_exhaustive()
    }
}

/// Credentials checked and made ready for handshakes.
pub(crate) struct Member {
    pub(crate) name: CertName,
    pub(crate) fingerprint: Fingerprint,
    /// Shown to other members.
    pub(crate) shown: Arc<CertifiedKey>,
    /// Shown to those who want to join: with the authorities, so that a token's hash can be compared.
    pub(crate) shown_forming: Arc<CertifiedKey>,
    pub(crate) roots: Arc<RootCertStore>,
    pub(crate) clients: Arc<dyn ClientCertVerifier>,
}

impl Member {
    pub(crate) fn new(credentials: &Credentials) -> Result<Self, CredentialsError> {
        let name = credentials.name;
        let fingerprint = check_name(credentials)?;
        let roots = Arc::new(root_store(credentials)?);
        let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider())
            .build()
            .map_err(|e| CredentialsError::Roots { name, reason: e.to_string() })?;
        let mut forming = credentials.chain.clone();
        forming.extend(credentials.roots.iter().filter(|root| !credentials.chain.contains(root)).cloned());
        Ok(Self {
            name,
            fingerprint,
            shown: certified(credentials, credentials.chain.clone())?,
            shown_forming: certified(credentials, forming)?,
            roots,
            clients,
        })
    }
}

pub(crate) fn root_store(credentials: &Credentials) -> Result<RootCertStore, CredentialsError> {
    let failed = |reason: String| CredentialsError::Roots { name: credentials.name, reason };
    let mut store = RootCertStore::empty();
    for root in &credentials.roots {
        store.add(root.clone()).map_err(|e| failed(e.to_string()))?;
    }
    if store.is_empty() {
        return Err(failed("there is none; at least the cluster's own is needed".to_owned()));
    }
    Ok(store)
}

pub(crate) fn certified(
    credentials: &Credentials,
    chain: Vec<CertificateDer<'static>>,
) -> Result<Arc<CertifiedKey>, CredentialsError> {
    CertifiedKey::from_der(chain, credentials.key.clone_key(), &provider())
        .map(Arc::new)
        .map_err(|e| CredentialsError::Key { name: credentials.name, reason: e.to_string() })
}

fn check_name(credentials: &Credentials) -> Result<Fingerprint, CredentialsError> {
    let name = credentials.name;
    let failed = |reason: String| CredentialsError::Certificate { name, reason };
    let leaf = credentials.chain.first().ok_or_else(|| failed("the chain is empty".to_owned()))?;
    let info = CertificateInfo::parse(leaf).map_err(|e| failed(e.to_string()))?;
    if info.name != Some(name) {
        return Err(CredentialsError::Name { expected: name, found: info.name });
    }
    Ok(info.fingerprint)
}
