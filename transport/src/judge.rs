//! Whether a peer's certificate is good enough: of this cluster and epoch, of the node dialled, accepted, in time, not denied.
//!
//! The one place that decides. It is asked in the middle of a handshake, and again when credentials or deny-list change.

use identity::{CertName, ClusterId, Fingerprint, NodeId};
use rustls::{CertificateError as Flaw, client::verify_server_cert_signed_by_trust_anchor, server::ParsedCertificate};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{
    certificate::CertificateInfo,
    credentials::{DenyList, Member},
    tls::provider,
};

/// Why this node refused the certificate of a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerRefused {
    /// The bytes are not a certificate, or name two nodes.
    #[error("its certificate cannot be read: {0}")]
    Unreadable(String),
    /// The certificate names no node.
    #[error("its certificate names no Hedgerow node")]
    NoName,
    /// The peer belongs to another cluster.
    #[error(
        "its certificate is of cluster {found}, this is cluster {expected}; two clusters never merge, see the seeds"
    )]
    OtherCluster {
        /// This node's cluster.
        expected: ClusterId,
        /// The peer's cluster.
        found: ClusterId,
    },
    /// The peer's certificate is from before or after a recovery of the cluster.
    #[error(
        "its certificate is of recovery epoch {found}, this node is in epoch {expected}; the one behind must join anew"
    )]
    OtherEpoch {
        /// This node's epoch.
        expected: u32,
        /// The peer's epoch.
        found: u32,
    },
    /// Another node answered than the one dialled.
    #[error("{dialled} was dialled and {found} answered; see the addresses of the two")]
    WrongNode {
        /// The node dialled.
        dialled: NodeId,
        /// The node in the certificate.
        found: NodeId,
    },
    /// The certificate is this node's own.
    #[error("its certificate is this node's own, {0}; a seed points back here, or a key was copied")]
    Myself(NodeId),
    /// Node or key is on the deny-list.
    #[error("{0} was removed or its key revoked")]
    Denied(NodeId),
    /// The certificate's time is over.
    #[error("the certificate of {0} has expired; see its clock and whether it reached a member to renew it")]
    Expired(NodeId),
    /// The certificate's time has not begun.
    #[error("the certificate of {0} is not valid yet; compare the clocks of the two nodes")]
    NotYet(NodeId),
    /// No accepted authority signed it.
    #[error("the certificate of {0} was not issued by an authority of this cluster")]
    UnknownAuthority(NodeId),
    /// The chain has another flaw.
    #[error("the certificate of {node} does not verify: {flaw}")]
    Flawed {
        /// The node that it names.
        node: NodeId,
        /// What is wrong.
        flaw: String,
    },
}

/// A peer whose certificate was accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PeerIdentity {
    pub(crate) node: NodeId,
    pub(crate) fingerprint: Fingerprint,
}

/// What is asked about a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Question {
    /// The certificate of the one dialled, and who that should be.
    Dialled(NodeId),
    /// The certificate of one who dialled this node.
    Dialler,
}

pub(crate) fn judge(
    member: &Member,
    denied: &DenyList,
    question: Question,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<PeerIdentity, PeerRefused> {
    let (leaf, between) = chain.split_first().ok_or(PeerRefused::NoName)?;
    let info = CertificateInfo::parse(leaf).map_err(|e| PeerRefused::Unreadable(e.to_string()))?;
    let name = info.name.ok_or(PeerRefused::NoName)?;
    // The names first: "of another cluster" helps more than "unknown issuer", which is what the chain would say.
    check_cluster(&member.name, &name)?;
    check_chain(member, question, leaf, between, now).map_err(|e| refused(name.node, e))?;
    check_node(member, question, &name, info.fingerprint)?;
    if denied.nodes.contains(&name.node) || denied.fingerprints.contains(&info.fingerprint) {
        return Err(PeerRefused::Denied(name.node));
    }
    Ok(PeerIdentity { node: name.node, fingerprint: info.fingerprint })
}

fn check_cluster(mine: &CertName, found: &CertName) -> Result<(), PeerRefused> {
    if found.cluster != mine.cluster {
        return Err(PeerRefused::OtherCluster { expected: mine.cluster, found: found.cluster });
    }
    if found.epoch != mine.epoch {
        return Err(PeerRefused::OtherEpoch { expected: mine.epoch, found: found.epoch });
    }
    Ok(())
}

fn check_node(
    member: &Member,
    question: Question,
    name: &CertName,
    fingerprint: Fingerprint,
) -> Result<(), PeerRefused> {
    if name.node == member.name.node || fingerprint == member.fingerprint {
        return Err(PeerRefused::Myself(name.node));
    }
    match question {
        Question::Dialled(dialled) if dialled != name.node => Err(PeerRefused::WrongNode { dialled, found: name.node }),
        Question::Dialled(_) | Question::Dialler => Ok(()),
    }
}

fn check_chain(
    member: &Member,
    question: Question,
    leaf: &CertificateDer<'_>,
    between: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<(), rustls::Error> {
    match question {
        Question::Dialled(_) => {
            let algorithms = provider().signature_verification_algorithms.all;
            let leaf = ParsedCertificate::try_from(leaf)?;
            verify_server_cert_signed_by_trust_anchor(&leaf, &member.roots, between, now, algorithms)
        }
        Question::Dialler => member.clients.verify_client_cert(leaf, between, now).map(|_| ()),
    }
}

fn refused(node: NodeId, error: rustls::Error) -> PeerRefused {
    match error {
        rustls::Error::InvalidCertificate(Flaw::Expired | Flaw::ExpiredContext { .. }) => PeerRefused::Expired(node),
        rustls::Error::InvalidCertificate(Flaw::NotValidYet | Flaw::NotValidYetContext { .. }) => {
            PeerRefused::NotYet(node)
        }
        rustls::Error::InvalidCertificate(Flaw::UnknownIssuer | Flaw::BadSignature) => {
            PeerRefused::UnknownAuthority(node)
        }
        other => PeerRefused::Flawed { node, flaw: other.to_string() },
    }
}

#[cfg(test)]
#[path = "judge_tests.rs"]
mod tests;
