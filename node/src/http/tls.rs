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
}

impl TlsApi {
    /// Listens on an address.
    ///
    /// # Errors
    /// The system refuses.
    pub async fn bind(addr: SocketAddr) -> Result<Self, ServeError> {
        let listener = TcpListener::bind(addr).await.map_err(|source| ServeError::Address { addr, source })?;
        Ok(Self { listener })
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
                    tokio::spawn(connection(stream, from, keys, place));
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

async fn connection(stream: TcpStream, from: SocketAddr, keys: Option<Arc<ServerConfig>>, place: Place) {
    let Some(keys) = keys else {
        tracing::debug!(%from, "a connection to the API came before the node has a certificate");
        return;
    };
    let shaken = tokio::time::timeout(HANDSHAKE_MAX, TlsAcceptor::from(keys).accept(stream)).await;
    match shaken {
        Ok(Ok(stream)) => match caller(&stream) {
            Some(actor) => place.serve(stream, actor).await,
            None => tracing::warn!(%from, "refused: the client's certificate names nobody"),
        },
        Ok(Err(error)) => tracing::info!(%from, %error, "refused: TLS handshake with the API failed"),
        Err(_) => {
            let limit_ms = HANDSHAKE_MAX.as_millis();
            tracing::info!(%from, limit_ms, "refused: TLS handshake with the API took too long");
        }
    }
}

/// Who the client's certificate says that it is.
fn caller(stream: &TlsStream<TcpStream>) -> Option<Actor> {
    let (_, session) = stream.get_ref();
    actor::of_certificate(session.peer_certificates()?.first()?)
}
