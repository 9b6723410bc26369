//! TLS for the HTTPS API, with the certificates of the cluster: TLS 1.3, no tickets, no early data.

use std::sync::Arc;

use rustls::{
    client::Resumption,
    crypto::CryptoProvider,
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    sign::SingleCertAndKey,
};

use crate::{
    Credentials, CredentialsError,
    credentials::{certified, root_store},
};

/// Why there is no TLS configuration. Nothing was changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TlsError {
    /// The credentials cannot be used.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The TLS library refused them.
    #[error("TLS could not be set up: {0}")]
    Setup(String),
}

/// The server's side of the HTTPS API: shows the node's certificate; a client that shows a certificate must show one of the
/// cluster's authority, and must show one if `require_client_cert`.
///
/// # Errors
/// The credentials cannot be used.
pub fn server_config(
    credentials: &Credentials,
    require_client_cert: bool,
) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let roots = Arc::new(root_store(credentials)?);
    let clients = WebPkiClientVerifier::builder_with_provider(roots, provider());
    let clients = if require_client_cert { clients } else { clients.allow_unauthenticated() };
    let mut config = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError::Setup(e.to_string()))?
        .with_client_cert_verifier(clients.build().map_err(|e| TlsError::Setup(e.to_string()))?)
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified(credentials, credentials.chain.clone())?)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// The client's side: shows the node's certificate and believes servers whose certificate is of the cluster's authority and
/// names the address that is asked.
///
/// # Errors
/// The credentials cannot be used.
pub fn client_config(credentials: &Credentials) -> Result<Arc<rustls::ClientConfig>, TlsError> {
    let shown = SingleCertAndKey::from(certified(credentials, credentials.chain.clone())?);
    let mut config = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|e| TlsError::Setup(e.to_string()))?
        .with_root_certificates(root_store(credentials)?)
        .with_client_cert_resolver(Arc::new(shown));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The cryptography of everything here: ring, named explicitly so that nothing depends on a global choice.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: std::sync::OnceLock<Arc<CryptoProvider>> = std::sync::OnceLock::new();
    PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())).clone()
}

#[cfg(test)]
#[path = "tls_tests.rs"]
mod tests;
