//! The remote API: TLS with client certificates.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::Router;
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::sync::CancellationToken;
use transport::{CertificateInfo, DenyList};

use super::{
    actor,
    limits::HANDSHAKE_MAX,
    serve::{Connections, Place, ServeError},
    unix::unless,
};
use crate::peer::Actor;

/// How long to wait after the system refused to accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The keys with which TLS is spoken, once the node has any; they change when certificates are renewed.
pub type TlsKeys = watch::Receiver<Option<Arc<ServerConfig>>>;

/// A TCP listener, bound.
#[derive(Debug)]
pub struct TlsApi {
    listener: TcpListener,
    denied: watch::Receiver<DenyList>,
}

impl TlsApi {
    /// Listens on an address.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn bind(addr: SocketAddr) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(addr).await.map_err(|source| ServeError::Address { addr, source })?;
        let (_, denied) = watch::channel(DenyList::default());
        Ok(Self { listener, denied })
    }

    /// Refuses these nodes and keys, and closes their connections as soon as they are denied (G12).
    #[must_use]
    pub fn deny(self, denied: watch::Receiver<DenyList>) -> Self {
        Self { denied, ..self }
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers until `shutdown` is cancelled and requests under way are done. Connections are closed at once while
    /// there are no keys.
    pub async fn serve(self, router: Router, keys: TlsKeys, shutdown: CancellationToken) {
        let connections = Connections::new(router);
        while let Some(place) = unless(&shutdown, connections.room()).await {
            match unless(&shutdown, self.listener.accept()).await {
                None => break,
                Some(Ok((stream, from))) => {
                    let keys = keys.borrow().clone();
                    tokio::spawn(connection(stream, from, keys, self.denied.clone(), place));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection to the API");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        connections.finish().await;
    }
}

async fn connection(
    stream: TcpStream,
    from: SocketAddr,
    keys: Option<Arc<ServerConfig>>,
    mut denied: watch::Receiver<DenyList>,
    place: Place,
) {
    let Some(keys) = keys else {
        tracing::debug!(%from, "a connection to the API came before the node has a certificate");
        return;
    };
    let Some(stream) = shake(stream, from, keys).await else { return };
    let Some((caller, actor)) = caller(&stream) else {
        tracing::warn!(%from, "refused: the client's certificate names nobody");
        return;
    };
    tokio::select! {
        biased;
        () = until_denied(&mut denied, &caller) => tracing::warn!(%from, %actor, "refused: the client has been removed or revoked"),
        () = place.serve(stream, actor.clone()) => {}
    }
}

async fn shake(stream: TcpStream, from: SocketAddr, keys: Arc<ServerConfig>) -> Option<TlsStream<TcpStream>> {
    match tokio::time::timeout(HANDSHAKE_MAX, TlsAcceptor::from(keys).accept(stream)).await {
        Ok(Ok(stream)) => Some(stream),
        Ok(Err(error)) => {
            tracing::info!(%from, %error, "refused: TLS handshake with the API failed");
            None
        }
        Err(_) => {
            let limit_ms = HANDSHAKE_MAX.as_millis();
            tracing::info!(%from, limit_ms, "refused: TLS handshake with the API took too long");
            None
        }
    }
}

/// What the client's certificate says, and who that is.
fn caller(stream: &TlsStream<TcpStream>) -> Option<(CertificateInfo, Actor)> {
    let (_, session) = stream.get_ref();
    let certificate = CertificateInfo::parse(session.peer_certificates()?.first()?).ok()?;
    let actor = actor::of_certificate(&certificate)?;
    Some((certificate, actor))
}

/// Ends when the client is denied.
async fn until_denied(denied: &mut watch::Receiver<DenyList>, caller: &CertificateInfo) {
    let is_denied = |list: &DenyList| {
        list.fingerprints.contains(&caller.fingerprint)
            || caller.name.is_some_and(|name| list.nodes.contains(&name.node))
    };
    if denied.wait_for(is_denied).await.is_err() {
        // Whoever kept the list is gone: the node is on its way down, which ends the connection by itself.
        std::future::pending::<()>().await;
    }
}
