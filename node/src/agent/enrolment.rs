//! What a node has once it belongs to a cluster: its name there and the certificate that proves it.

use std::{
    net::IpAddr,
    time::{Duration, SystemTime},
};

use identity::{CertName, MemberRecord};
use rustls_pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use transport::{Authority, CERT_LIFETIME, Credentials, NodeKey};

use super::disk::{Disk, DiskError};

const FILE: &str = "enrolment";

/// Membership of a cluster, as kept on disk and as granted to a node that joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Enrolment {
    /// Who the node is.
    pub(crate) name: CertName,
    /// Its certificate, DER.
    pub(crate) certificate: Vec<u8>,
    /// The certificate of the cluster's authority, DER.
    pub(crate) authority: Vec<u8>,
}

impl Enrolment {
    /// Issues a certificate for a member whose public key (DER `SubjectPublicKeyInfo`) this is.
    ///
    /// # Errors
    /// The key is unreadable or of a kind that the authority does not sign.
    pub(crate) fn issue(
        authority: &Authority,
        member: &MemberRecord,
        public_key: &[u8],
        now: SystemTime,
    ) -> Result<Self, transport::IssueError> {
        let name = CertName { cluster: authority.cluster(), epoch: authority.epoch(), node: member.node };
        let certificate = authority.issue(&name, public_key, &api_addresses(member), now, CERT_LIFETIME)?;
        Ok(Self { name, certificate, authority: authority.certificate_der().to_vec() })
    }

    /// The enrolment that a former start of this node saved, if it has one.
    ///
    /// # Errors
    /// The file cannot be read, or is damaged.
    pub(crate) fn load(disk: &Disk) -> Result<Option<Self>, DiskError> {
        let Some(bytes) = disk.read(FILE)? else { return Ok(None) };
        transport::codec::decode(&bytes).map(Some).map_err(|error| disk.damaged(FILE, &error))
    }

    /// Makes the enrolment durable.
    ///
    /// # Errors
    /// It could not be made durable.
    pub(crate) fn save(&self, disk: &Disk) -> Result<(), DiskError> {
        let bytes = transport::codec::encode(self).map_err(|error| disk.damaged(FILE, &error))?;
        disk.write(FILE, &bytes)
    }

    /// What the transport proves the node's identity with.
    #[must_use]
    pub(crate) fn credentials(&self, key: &NodeKey) -> Credentials {
        let authority = CertificateDer::from(self.authority.clone());
        Credentials {
            name: self.name,
            chain: vec![CertificateDer::from(self.certificate.clone())],
            key: key.private_der(),
            roots: vec![authority],
        }
    }

    /// How long the certificate is still good before it should be renewed; zero when that time has come.
    #[must_use]
    pub(crate) fn renew_in(&self, now: SystemTime) -> Duration {
        let info = transport::CertificateInfo::parse(&CertificateDer::from(self.certificate.as_slice()));
        info.map_or(Duration::ZERO, |info| info.renew_at().duration_since(now).unwrap_or_default())
    }
}

fn api_addresses(member: &MemberRecord) -> Vec<IpAddr> {
    let mut addresses = vec![member.endpoint.ip()];
    addresses.extend(member.api.map(|api| api.ip()));
    addresses.dedup();
    addresses
}
