//! Who is at the other end of a connection.

use std::{io, time::Duration};

use axum::{extract::FromRequestParts, http::request::Parts};
use nix::unistd::{Uid, User};
use tokio::net::UnixStream;
use transport::CertificateInfo;

use crate::peer::{Actor, ApiError};

/// How long the name of a user is looked for; a name service in the network may stand still.
const NAME_MAX: Duration = Duration::from_secs(1);

/// The user at the other end of a Unix socket, as the kernel knows it.
pub(super) async fn of_socket(stream: &UnixStream) -> io::Result<Actor> {
    let uid = Uid::from_raw(stream.peer_cred()?.uid());
    let look = tokio::task::spawn_blocking(move || User::from_uid(uid).ok().flatten());
    // A name service that fails must not keep an operator out: the number says who it was as well.
    let user = tokio::time::timeout(NAME_MAX, look).await.ok().and_then(Result::ok).flatten();
    Ok(Actor::new(user.map_or_else(|| format!("uid {uid}"), |user| user.name)))
}

/// The node that a client's certificate names.
pub(super) fn of_certificate(certificate: &CertificateInfo) -> Option<Actor> {
    certificate.name.map(|name| Actor::new(name.node.to_string()))
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::Forbidden {
            message: "it is not known who asks; use the Unix socket, or TLS with a client certificate".to_owned(),
        })
    }
}
