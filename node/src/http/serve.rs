//! Connections: accepted up to a bound, answered, and let finish when the node stops.

use std::{io, path::PathBuf, pin::pin, sync::Arc};

use axum::{Extension, Router};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::Semaphore,
};

use super::limits::{CONNECTIONS_MAX, HEADER_READ_MAX, SHUTDOWN_MAX};
use crate::peer::Actor;

/// Why the API could not be opened. Nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Another process answers on the socket.
    #[error("another agent already answers on {}; stop it, or give this one another `socket` in [api]", path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on {}: {source}; check `socket` in [api] and who may write there", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}; check `listen` in [api]")]
    Address {
        /// The address.
        addr: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// The connections of one listener.
pub(super) struct Connections {
    router: Router,
    graceful: GracefulShutdown,
    free: Arc<Semaphore>,
}

impl Connections {
    pub(super) fn new(router: Router) -> Self {
        Self { router, graceful: GracefulShutdown::new(), free: Arc::new(Semaphore::new(CONNECTIONS_MAX)) }
    }

    /// Waits until there is room for one more connection.
    pub(super) async fn room(&self) -> Place {
        // The semaphore is never closed; without a permit there would be one connection above the bound.
        let permit = self.free.clone().acquire_owned().await.ok();
        Place { router: self.router.clone(), watcher: self.graceful.watcher(), _permit: permit }
    }

    /// Lets requests under way finish, for a bounded time.
    pub(super) async fn finish(self) {
        if tokio::time::timeout(SHUTDOWN_MAX, self.graceful.shutdown()).await.is_err() {
            tracing::warn!(waited_ms = SHUTDOWN_MAX.as_millis(), "requests were still under way when the API closed");
        }
    }
}

/// The place of one connection among those that are allowed.
pub(super) struct Place {
    router: Router,
    watcher: Watcher,
    _permit: Option<tokio::sync::OwnedSemaphorePermit>,
}

impl Place {
    /// Answers the requests of a connection until it ends.
    pub(super) async fn serve<I>(self, io: I, actor: Actor)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let service = TowerToHyperService::new(self.router.layer(Extension(actor.clone())));
        let mut builder = auto::Builder::new(TokioExecutor::new()).http1_only();
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_READ_MAX);
        let connection = pin!(self.watcher.watch(builder.serve_connection(TokioIo::new(io), service).into_owned()));
        if let Err(error) = connection.await {
            tracing::debug!(%actor, error, "connection to the API ended early");
        }
    }
}
