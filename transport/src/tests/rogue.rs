//! Someone who does not keep to the rules: dials with any certificate and believes everything.

use std::{net::SocketAddr, sync::Arc};

use rustls::sign::CertifiedKey;

use crate::{
    Credentials, FrameReceiver, FrameSender, Limits, NodeKey,
    close::Far,
    frame::Context,
    quic::{self, Protocol, SERVER_NAME},
    stats::Counters,
    tls::provider,
    verifier::{DiallerVerifier, FormVerifier, Note},
};

pub(super) struct Rogue {
    pub(super) quinn: quinn::Endpoint,
    pub(super) key: NodeKey,
}

impl Rogue {
    pub(super) fn new() -> Self {
        let key = NodeKey::generate().unwrap();
        let verifier = DiallerVerifier {
            member: None,
            alone: alone(&key),
            denied: Arc::default(),
            note: Arc::new(Note::default()),
        };
        let crypto = quic::server_crypto(Arc::new(verifier)).unwrap();
        let server = quic::server_base(crypto, quic::transport(&Limits::default()));
        let quinn = quinn::Endpoint::server(server, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { quinn, key }
    }

    pub(super) fn addr(&self) -> SocketAddr {
        self.quinn.local_addr().unwrap()
    }

    /// Dials, shows these certificates and believes whatever it is shown.
    pub(super) async fn dial(
        &self,
        addr: SocketAddr,
        protocol: Protocol,
        shown: Arc<CertifiedKey>,
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        let crypto = quic::client_crypto(protocol, shown, Arc::new(FormVerifier { authority: None })).unwrap();
        let config = quinn::ClientConfig::new(crypto);
        self.quinn.connect_with(config, addr, SERVER_NAME).unwrap().await
    }

    /// Dials and shows no certificate.
    pub(super) async fn dial_bare(
        &self,
        addr: SocketAddr,
        alpn: &[u8],
    ) -> Result<quinn::Connection, quinn::ConnectionError> {
        let mut tls = rustls::ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(FormVerifier { authority: None }))
            .with_no_client_auth();
        tls.alpn_protocols = vec![alpn.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        self.quinn.connect_with(quinn::ClientConfig::new(Arc::new(crypto)), addr, SERVER_NAME).unwrap().await
    }
}

pub(super) fn alone(key: &NodeKey) -> Arc<CertifiedKey> {
    let chain = vec![key.self_signed().unwrap()];
    Arc::new(CertifiedKey::from_der(chain, key.private_der(), &provider()).unwrap())
}

pub(super) fn shown(credentials: &Credentials) -> Arc<CertifiedKey> {
    crate::credentials::certified(credentials, credentials.chain.clone()).unwrap()
}

/// The halves of a stream as frames.
pub(super) fn frames(
    connection: &quinn::Connection,
    (send, receive): (quinn::SendStream, quinn::RecvStream),
) -> (FrameSender, FrameReceiver) {
    let context = Context {
        far: Far::Address(connection.remote_address()),
        bytes_max: 1 << 20,
        connection: connection.clone(),
        counters: Arc::new(Counters::default()),
        _hold: None,
    };
    (FrameSender::new(send, context.clone()), FrameReceiver::new(receive, context))
}
