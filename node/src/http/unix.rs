//! The local API: a Unix socket that the owner and the group of the process may use.

use std::{
    fs, io,
    os::unix::{fs::PermissionsExt, net::UnixStream as StdUnixStream},
    path::{Path, PathBuf},
    time::Duration,
};

use axum::Router;
use tokio::net::{UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

use super::{
    actor,
    serve::{Connections, Place, ServeError},
};

/// Who may use the socket: the owner and the group.
const SOCKET_MODE: u32 = 0o660;
/// How long to wait after the system refused to accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A Unix socket, bound.
#[derive(Debug)]
pub struct UnixApi {
    listener: UnixListener,
    path: PathBuf,
}

impl UnixApi {
    /// Makes the socket; a stale one of a process that is gone is replaced. The directory is made if there is none.
    ///
    /// # Errors
    /// Another process answers on it, or the system refuses.
    pub fn bind(path: &Path) -> Result<Self, ServeError> {
        if StdUnixStream::connect(path).is_ok() {
            return Err(ServeError::InUse { path: path.to_owned() });
        }
        let listener = bind(path).map_err(|source| ServeError::Socket { path: path.to_owned(), source })?;
        Ok(Self { listener, path: path.to_owned() })
    }

    /// Answers until `shutdown` is cancelled and requests under way are done.
    pub async fn serve(self, router: Router, shutdown: CancellationToken) {
        let connections = Connections::new(router);
        while let Some(place) = unless(&shutdown, connections.room()).await {
            match unless(&shutdown, self.listener.accept()).await {
                None => break,
                Some(Ok((stream, _))) => {
                    tokio::spawn(connection(stream, place));
                }
                Some(Err(error)) => {
                    tracing::warn!(%error, "cannot accept a connection to the API");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(%error, "the socket of the API was gone already");
        }
        connections.finish().await;
    }
}

/// The outcome, unless the shutdown comes first.
pub(super) async fn unless<T>(shutdown: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    shutdown.run_until_cancelled(work).await
}

async fn connection(stream: UnixStream, place: Place) {
    match actor::of_socket(&stream).await {
        Ok(actor) => place.serve(stream, actor).await,
        Err(error) => tracing::warn!(%error, "the kernel does not say who is at the other end of the API's socket"),
    }
}

/// Binds beside the path, sets who may use it, then moves it there: at no instant is it open to others.
fn bind(path: &Path) -> io::Result<UnixListener> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&beside)?;
    fs::set_permissions(&beside, fs::Permissions::from_mode(SOCKET_MODE))?;
    fs::rename(&beside, path)?;
    Ok(listener)
}
