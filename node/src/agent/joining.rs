//! Joining by token: find a member, prove the secret, be admitted by the cluster, start.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};
use transport::{JoinToken, Refusal};

use super::{
    admission::{FormReply, FormRequest, Grant},
    disk::DiskError,
    mesh::{Mesh, MeshError},
    site::{Site, now_ms},
};

/// Why a node has not joined. It stays alone, unless the error says that it was admitted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The token's time has passed, by this node's clock.
    #[error("the token has expired; make a new one with `hedgerow cluster token create` on a member")]
    Expired,
    /// The cluster said no.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// Who answered is of another cluster.
    #[error("the token leads to another cluster, and nothing was told to it: {reasons}; use a token of this cluster")]
    Foreign {
        /// What each of them came to.
        reasons: String,
    },
    /// No member answered in time.
    #[error(
        "no member that the token names let this node in: {reasons}; check the network between the cluster interfaces"
    )]
    Unreachable {
        /// What each of them came to.
        reasons: String,
    },
    /// Admitted, but not started. The next start of the agent goes on from here.
    #[error("admitted, but not started: {0}; restart the agent")]
    Start(#[from] MeshError),
    /// Admitted, but the certificate could not be kept.
    #[error("admitted, but the certificate could not be kept: {0}; join again with the same token")]
    Disk(#[from] DiskError),
}

/// What asking one member came to.
enum Failure {
    /// Another member may answer otherwise.
    Next(String),
    /// Not a member of the token's cluster.
    Foreign(String),
    /// It speaks for the cluster.
    Final(String),
}

/// Joins the cluster of `token` within `timeout`.
///
/// # Errors
/// See [`JoinError`].
pub(crate) async fn join(site: &Arc<Site>, token: &JoinToken, timeout: Duration) -> Result<Arc<Mesh>, JoinError> {
    if token.is_expired(now_ms()) {
        return Err(JoinError::Expired);
    }
    let deadline = Instant::now() + timeout;
    let mut reasons = Vec::new();
    let mut all_foreign = true;
    for seed in &token.seeds {
        let asked = timeout_at(deadline, ask(site, token, *seed)).await;
        match asked.unwrap_or_else(|_| Err(Failure::Next(format!("{seed} gave no answer in time")))) {
            Ok(grant) => return start(site, &grant).await,
            Err(Failure::Final(reason)) => return Err(JoinError::Refused(reason)),
            Err(Failure::Next(reason)) => {
                all_foreign = false;
                reasons.push(reason);
            }
            Err(Failure::Foreign(reason)) => reasons.push(reason),
        }
        warn!(%seed, reason = reasons.last(), "this node did not let us in");
    }
    let reasons = reasons.join("; ");
    Err(if all_foreign { JoinError::Foreign { reasons } } else { JoinError::Unreachable { reasons } })
}

async fn ask(site: &Site, token: &JoinToken, seed: SocketAddr) -> Result<Grant, Failure> {
    let dialled = site.endpoint.dial_form(seed, &token.secret(), Some(token.ca)).await;
    let mut stream = dialled.map_err(|error| match error {
        transport::FormError::Refused { refusal: Refusal::NotReady | Refusal::Unconfirmed, .. } => {
            Failure::Next(error.to_string())
        }
        transport::FormError::Refused { refusal, .. } => Failure::Final(refusal.to_string()),
        transport::FormError::WrongAuthority { .. } => Failure::Foreign(error.to_string()),
        other => Failure::Next(other.to_string()),
    })?;
    let next = |reason: &dyn std::fmt::Display| Failure::Next(format!("{seed}: {reason}"));
    stream.sender.send_msg(&FormRequest::Join(site.newcomer())).await.map_err(|error| next(&error))?;
    match stream.receiver.recv_msg().await.map_err(|error| next(&error))? {
        Some(FormReply::Granted(grant)) => Ok(grant),
        Some(FormReply::Refused(reason)) => Err(Failure::Final(reason)),
        Some(FormReply::NotYet) => Err(next(&"it cannot admit anyone at the moment")),
        Some(FormReply::Ballot(_)) | None => Err(next(&"it hung up without an answer")),
    }
}

async fn start(site: &Arc<Site>, grant: &Grant) -> Result<Arc<Mesh>, JoinError> {
    grant.enrolment.save(&site.disk)?;
    info!(node = %grant.enrolment.name.node, cluster = %grant.enrolment.name.cluster, "admitted");
    Ok(Mesh::start(site, &grant.enrolment, &grant.members).await?)
}
