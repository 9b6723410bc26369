//! How quinn is set up: protocols, times, windows, and TLS 1.3 without tickets or early data.

use std::{sync::Arc, time::Duration};

use quinn::crypto::rustls::{NoInitialCipherSuite, QuicClientConfig, QuicServerConfig};
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};
use rustls::{
    client::{ResolvesClientCert, Resumption, danger::ServerCertVerifier},
    server::NoServerSessionStorage,
    sign::{CertifiedKey, SingleCertAndKey},
};

use crate::{Limits, NodeKey, tls::provider, verifier::DiallerVerifier};

/// What a connection is for, agreed on in its handshake (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Between members.
    Cluster,
    /// Forming and joining.
    Form,
}

impl Protocol {
    pub(crate) fn alpn(self) -> &'static [u8] {
        match self {
            Self::Cluster => b"hedgerow/1",
            Self::Form => b"hedgerow-form/1",
        }
    }

    pub(crate) fn from_alpn(name: &[u8]) -> Option<Self> {
        [Self::Cluster, Self::Form].into_iter().find(|protocol| protocol.alpn() == name)
    }
}

/// QUIC wants a name to dial; identity is checked by certificate name, so this one says nothing.
pub(crate) const SERVER_NAME: &str = "hedgerow.invalid";

/// Length of the ids by which packets find their connection.
const CONNECTION_ID_BYTES: usize = 8;
/// Unread bytes that one stream may have on its way.
const STREAM_WINDOW_BYTES: u32 = 1 << 20;
/// The same for one connection: streams that nobody reads must not use it up, or votes would wait behind them.
const CONNECTION_WINDOW_BYTES: u32 = 32 << 20;
/// The same before the peer has proven who it is.
const UNPROVEN_WINDOW_BYTES: u32 = 128 << 10;
/// Received datagrams that wait in quinn, in bytes; more and the oldest go.
const DATAGRAM_RECEIVE_BYTES: usize = 256 << 10;
/// Datagrams that wait to be sent, in bytes; more and the oldest go.
const DATAGRAM_SEND_BYTES: usize = 128 << 10;
/// First guess of the round trip on a cluster's network: a lost first packet is repeated after three of these.
const INITIAL_RTT: Duration = Duration::from_millis(40);
/// The largest UDP payload that path MTU discovery tries: Ethernet with IPv6.
const UDP_PAYLOAD_BYTES_MAX: u16 = 1452;
/// Connections that wait for the accept loop to look at them.
const INCOMING_MAX: usize = 1024;
/// Bytes kept for one, and for all, connections that wait to be looked at.
const INCOMING_BYTES_MAX: u64 = 16 << 10;
const INCOMING_BYTES_TOTAL_MAX: u64 = 4 << 20;

/// For connections that this node dials: who answers is verified before anything else.
pub(crate) fn transport(limits: &Limits) -> Arc<quinn::TransportConfig> {
    Arc::new(transport_config(limits))
}

/// For connections that arrive: until [`open_up`], one stream and little memory, for anyone may dial.
pub(crate) fn unproven_transport(limits: &Limits) -> Arc<quinn::TransportConfig> {
    let mut config = transport_config(limits);
    config.max_concurrent_bidi_streams(1u32.into()).receive_window(UNPROVEN_WINDOW_BYTES.into());
    Arc::new(config)
}

/// Gives a member that has proven itself the room of a member.
pub(crate) fn open_up(connection: &quinn::Connection, limits: &Limits) {
    connection.set_receive_window(CONNECTION_WINDOW_BYTES.into());
    connection.set_max_concurrent_bi_streams(limits.streams_per_peer_max.into());
}

fn transport_config(limits: &Limits) -> quinn::TransportConfig {
    let mut config = quinn::TransportConfig::default();
    // An idle time-out above what QUIC can express means the largest it can.
    let idle = quinn::IdleTimeout::try_from(limits.idle_timeout).unwrap_or(quinn::VarInt::MAX.into());
    let mut discovery = quinn::MtuDiscoveryConfig::default();
    discovery.upper_bound(UDP_PAYLOAD_BYTES_MAX);
    config
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(limits.keep_alive))
        .max_concurrent_bidi_streams(limits.streams_per_peer_max.into())
        .max_concurrent_uni_streams(0u32.into())
        .stream_receive_window(STREAM_WINDOW_BYTES.into())
        .receive_window(CONNECTION_WINDOW_BYTES.into())
        .send_window(CONNECTION_WINDOW_BYTES.into())
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
        .datagram_send_buffer_size(DATAGRAM_SEND_BYTES)
        .mtu_discovery_config(Some(discovery))
        .initial_rtt(INITIAL_RTT);
    config
}

/// Reset tokens derive from the node's key: a restarted node answers packets of its former life with a reset that its
/// peers recognise, so that they notice at once instead of after the idle time-out.
pub(crate) fn endpoint_config(key: &NodeKey) -> quinn::EndpointConfig {
    let derive = hmac::Key::new(hmac::HMAC_SHA256, key.private_der().secret_der());
    let reset = hmac::sign(&derive, b"hedgerow stateless reset");
    let mut config = quinn::EndpointConfig::new(Arc::new(hmac::Key::new(hmac::HMAC_SHA256, reset.as_ref())));
    config.cid_generator(|| Box::new(RandomIds { random: SystemRandom::new() }));
    config
}

/// Connection ids without structure. Quinn's own carry a mark of the process that made them, by which a restarted one
/// would take packets of its former life for noise and not answer them.
struct RandomIds {
    random: SystemRandom,
}

impl quinn::ConnectionIdGenerator for RandomIds {
    fn generate_cid(&mut self) -> quinn::ConnectionId {
        let mut bytes = [0u8; CONNECTION_ID_BYTES];
        self.random.fill(&mut bytes).expect("the system gives random numbers: it did when this endpoint was bound");
        quinn::ConnectionId::new(&bytes)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_BYTES
    }

    fn cid_lifetime(&self) -> Option<Duration> {
        None
    }
}

/// The TLS side of one connection that arrives: its own, since the protocol asked for decides what is shown and believed.
pub(crate) fn server_crypto(verifier: Arc<DiallerVerifier>) -> Result<Arc<QuicServerConfig>, CryptoError> {
    let mut protocols = vec![Protocol::Form.alpn().to_vec()];
    if verifier.member.is_some() {
        protocols.push(Protocol::Cluster.alpn().to_vec());
    }
    let mut tls = rustls::ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier.clone())
        .with_cert_resolver(verifier);
    tls.alpn_protocols = protocols;
    tls.session_storage = Arc::new(NoServerSessionStorage {});
    tls.send_tls13_tickets = 0;
    Ok(Arc::new(QuicServerConfig::try_from(tls)?))
}

/// The TLS side of one dial.
pub(crate) fn client_crypto(
    protocol: Protocol,
    shown: Arc<CertifiedKey>,
    verifier: Arc<dyn ServerCertVerifier>,
) -> Result<Arc<QuicClientConfig>, CryptoError> {
    let shown: Arc<dyn ResolvesClientCert> = Arc::new(SingleCertAndKey::from(shown));
    let mut tls = rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(shown);
    tls.alpn_protocols = vec![protocol.alpn().to_vec()];
    tls.resumption = Resumption::disabled();
    tls.enable_sni = false;
    Ok(Arc::new(QuicClientConfig::try_from(tls)?))
}

/// The base of the configurations for arriving connections; the TLS side is exchanged per connection.
pub(crate) fn server_base(
    crypto: Arc<QuicServerConfig>,
    transport: Arc<quinn::TransportConfig>,
) -> quinn::ServerConfig {
    let mut config = quinn::ServerConfig::with_crypto(crypto);
    config
        .transport_config(transport)
        .migration(false)
        .max_incoming(INCOMING_MAX)
        .incoming_buffer_size(INCOMING_BYTES_MAX)
        .incoming_buffer_size_total(INCOMING_BYTES_TOTAL_MAX);
    config
}

/// The cryptographic library refused a configuration: a programming error, or a library built without TLS 1.3.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum CryptoError {
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error(transparent)]
    Suite(#[from] NoInitialCipherSuite),
}
