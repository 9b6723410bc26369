//! Who is at the other end of a connection.

use axum::{extract::FromRequestParts, http::request::Parts};
use identity::CertName;
use nix::unistd::{Uid, User};
use rustls_pki_types::CertificateDer;
use tokio::net::UnixStream;
use x509_parser::{extensions::GeneralName, parse_x509_certificate};

use crate::peer::{Actor, ApiError};

/// The user at the other end of a Unix socket, as the kernel knows it.
pub(super) fn of_socket(stream: &UnixStream) -> std::io::Result<Actor> {
    let uid = Uid::from_raw(stream.peer_cred()?.uid());
    // A name service that fails must not keep an operator out: the number says who it was as well.
    let name = User::from_uid(uid).ok().flatten().map_or_else(|| format!("uid {uid}"), |user| user.name);
    Ok(Actor::new(name))
}

/// The subject of a client's certificate: the node of a node's certificate, the common name of others.
pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Option<Actor> {
    let (_, parsed) = parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok().flatten();
    let node = names.iter().flat_map(|names| &names.value.general_names).find_map(|name| match name {
        GeneralName::URI(uri) => uri.parse::<CertName>().ok(),
        _ => None,
    });
    if let Some(name) = node {
        return Some(Actor::new(name.node.to_string()));
    }
    let common = parsed.subject().iter_common_name().find_map(|name| name.as_str().ok().map(str::to_owned));
    common.filter(|name| !name.is_empty()).map(|name| Actor::new(format!("CN={name}")))
}

impl<S: Send + Sync> FromRequestParts<S> for Actor {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(|| ApiError::Forbidden {
            message: "it is not known who asks; use the Unix socket, or TLS with a client certificate".to_owned(),
        })
    }
}
