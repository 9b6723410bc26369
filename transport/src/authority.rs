//! The certificate authority of a cluster: minted once when it forms, replicated, so that every member can issue.

use std::{
    fmt,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use identity::{CertName, ClusterId, Fingerprint};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData, SanType, SubjectPublicKeyInfo,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer, pem::PemObject};
use time::OffsetDateTime;
use x509_parser::{certificate::X509Certificate, prelude::FromDer};

use crate::certificate::{fingerprint_of, uris};

/// How long a node's certificate holds.
pub const CERT_LIFETIME: Duration = Duration::from_secs(72 * 3600);

/// How far before "now" a certificate begins, so that a node whose clock is behind accepts it at once.
pub const CERT_BACKDATE: Duration = Duration::from_secs(3600);

/// How long the authority's own certificate holds: far longer than anyone waits with rotating it.
const AUTHORITY_LIFETIME: Duration = Duration::from_secs(20 * 365 * 24 * 3600);

/// How many certificates may stand between the authority and a node's certificate: none.
const INTERMEDIATES_MAX: u8 = 0;

/// Addresses in one certificate.
const ADDRESSES_MAX: usize = 64;

const SCHEME: &str = "hedgerow-ca://";

/// The key and certificate that issue the certificates of one cluster's nodes.
pub struct Authority {
    cluster: ClusterId,
    epoch: u32,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// Why there is no authority. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthorityError {
    /// The key or the certificate could not be made.
    #[error("no cluster authority could be made: {0}")]
    Mint(String),
    /// The text lacks a certificate or a private key.
    #[error("the text is not a cluster authority (a certificate and a private key in PEM): {0}")]
    Pem(String),
    /// The certificate does not say which cluster it is for.
    #[error(
        "the certificate is not that of a Hedgerow cluster authority: it carries no name {SCHEME}<cluster>/<epoch>"
    )]
    NoName,
    /// The private key is not the one of the certificate.
    #[error("the private key does not belong to the authority's certificate; the two come from different authorities")]
    KeyMismatch,
}

/// Why a certificate was not issued. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IssueError {
    /// The name is of another cluster or epoch than the authority.
    #[error("cannot issue {name}: this authority is of cluster {cluster}, epoch {epoch}")]
    OtherCluster {
        /// The name that was asked for.
        name: CertName,
        /// The authority's cluster.
        cluster: ClusterId,
        /// The authority's recovery epoch.
        epoch: u32,
    },
    /// The request is neither a public key nor a signing request with a good signature.
    #[error("cannot issue {name}: the request is neither a public key nor a signed certificate request in DER")]
    Request {
        /// The name that was asked for.
        name: CertName,
    },
    /// More addresses than a certificate carries.
    #[error("cannot issue {name}: {found} addresses, a certificate carries at most {ADDRESSES_MAX}")]
    Addresses {
        /// The name that was asked for.
        name: CertName,
        /// How many were asked for.
        found: usize,
    },
    /// The certificate could not be written or signed.
    #[error("cannot issue {name}: {reason}")]
    Sign {
        /// The name that was asked for.
        name: CertName,
        /// What went wrong.
        reason: String,
    },
}

impl Authority {
    /// A new authority for a cluster. Only the node that initialises the cluster calls this (G9).
    ///
    /// # Errors
    /// The system gave no random numbers.
    pub fn mint(cluster: ClusterId, epoch: u32) -> Result<Self, AuthorityError> {
        let failed = |e: rcgen::Error| AuthorityError::Mint(e.to_string());
        let key = KeyPair::generate().map_err(failed)?;
        let params = authority_params(cluster, epoch, &key).map_err(failed)?;
        let made = params.self_signed(&key).map_err(failed)?;
        Ok(Self {
            cluster,
            epoch,
            certificate: made.der().clone(),
            certificate_pem: made.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// The authority in a PEM text, as [`Authority::to_pem`] wrote it.
    ///
    /// # Errors
    /// A part is missing or damaged, or certificate and key do not belong together.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        let damaged = |e: &dyn fmt::Display| AuthorityError::Pem(e.to_string());
        let certificate = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| damaged(&e))?;
        let (certificate_pem, key_pem) = split(pem).ok_or_else(|| damaged(&"the private key is missing"))?;
        let key = KeyPair::from_pem(key_pem).map_err(|e| damaged(&e))?;
        let (_, parsed) = X509Certificate::from_der(&certificate).map_err(|e| damaged(&e))?;
        if parsed.public_key().raw != key.subject_public_key_info() {
            return Err(AuthorityError::KeyMismatch);
        }
        let (cluster, epoch) = authority_name(&parsed).ok_or(AuthorityError::NoName)?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key).map_err(|e| damaged(&e))?;
        Ok(Self {
            cluster,
            epoch,
            certificate_pem: certificate_pem.to_owned(),
            certificate: certificate.clone(),
            issuer,
        })
    }

    /// Certificate and private key as PEM: replicated state, readable at rest by the service's user only.
    #[must_use]
    pub fn to_pem(&self) -> String {
        format!("{}{}", self.certificate_pem, self.issuer.key().serialize_pem())
    }

    /// The authority's certificate: what the members put among their [`crate::Credentials::roots`].
    #[must_use]
    pub fn certificate_der(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    /// The hash of the authority's public key: what a token carries.
    #[must_use]
    pub fn spki_hash(&self) -> Fingerprint {
        fingerprint_of(&self.issuer.key().subject_public_key_info())
    }

    /// The cluster whose certificates this authority issues.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The recovery epoch whose certificates this authority issues.
    #[must_use]
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// A certificate in DER for a node's key. `request` is the public key (DER `SubjectPublicKeyInfo`, taken from a
    /// connection that proved it) or a certificate request, of which only the key is taken. `addresses` are the ones at
    /// which its HTTPS API answers.
    ///
    /// # Errors
    /// The name is of another cluster, the request is unreadable, or there are too many addresses.
    pub fn issue(
        &self,
        name: &CertName,
        request: &[u8],
        addresses: &[IpAddr],
        now: SystemTime,
        lifetime: Duration,
    ) -> Result<Vec<u8>, IssueError> {
        if name.cluster != self.cluster || name.epoch != self.epoch {
            return Err(IssueError::OtherCluster { name: *name, cluster: self.cluster, epoch: self.epoch });
        }
        if addresses.len() > ADDRESSES_MAX {
            return Err(IssueError::Addresses { name: *name, found: addresses.len() });
        }
        let failed = |e: rcgen::Error| IssueError::Sign { name: *name, reason: e.to_string() };
        let params = node_params(name, addresses, now, lifetime).map_err(failed)?;
        let issued = match RequestedKey::parse(request).ok_or(IssueError::Request { name: *name })? {
            RequestedKey::Public(key) => params.signed_by(&key, &self.issuer),
            RequestedKey::Request(request) => params.signed_by(&request.public_key, &self.issuer),
        };
        Ok(issued.map_err(failed)?.der().to_vec())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("cluster", &self.cluster).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

enum RequestedKey {
    Public(SubjectPublicKeyInfo),
    Request(Box<CertificateSigningRequestParams>),
}

impl RequestedKey {
    fn parse(der: &[u8]) -> Option<Self> {
        if let Ok(key) = SubjectPublicKeyInfo::from_der(der) {
            return Some(Self::Public(key));
        }
        let request = CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(der)).ok()?;
        Some(Self::Request(Box::new(request)))
    }
}

fn authority_params(cluster: ClusterId, epoch: u32, key: &KeyPair) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::default();
    let begin = OffsetDateTime::now_utc() - CERT_BACKDATE;
    params.not_before = begin;
    params.not_after = begin + AUTHORITY_LIFETIME;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(INTERMEDIATES_MAX));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.subject_alt_names = vec![SanType::URI(format!("{SCHEME}{cluster}/{epoch}").try_into()?)];
    // The key is part of the name: after a rotation two authorities of one cluster must not be mistaken for each other.
    let key_hash = fingerprint_of(&key.subject_public_key_info()).to_string();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Hedgerow");
    params
        .distinguished_name
        .push(DnType::CommonName, format!("cluster {cluster} epoch {epoch} ca {}", &key_hash[..12]));
    Ok(params)
}

fn node_params(
    name: &CertName,
    addresses: &[IpAddr],
    now: SystemTime,
    lifetime: Duration,
) -> Result<CertificateParams, rcgen::Error> {
    let now = OffsetDateTime::from(now);
    let mut params = CertificateParams::default();
    params.not_before = now - CERT_BACKDATE;
    params.not_after = now + lifetime;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.use_authority_key_identifier_extension = true;
    params.subject_alt_names = vec![SanType::URI(name.to_string().try_into()?)];
    params.subject_alt_names.extend(addresses.iter().copied().map(SanType::IpAddress));
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Hedgerow");
    params.distinguished_name.push(DnType::CommonName, name.node.to_string());
    Ok(params)
}

fn authority_name(cert: &X509Certificate<'_>) -> Option<(ClusterId, u32)> {
    uris(cert).ok()?.into_iter().find_map(|uri| {
        let (cluster, epoch) = uri.strip_prefix(SCHEME)?.split_once('/')?;
        Some((cluster.parse().ok()?, epoch.parse().ok()?))
    })
}

/// The certificate's block and the key's block of a PEM text that holds the two in this order.
fn split(pem: &str) -> Option<(&str, &str)> {
    const CERTIFICATE_END: &str = "-----END CERTIFICATE-----";
    let mut at = pem.find(CERTIFICATE_END)? + CERTIFICATE_END.len();
    at += pem[at..].find("-----BEGIN")?;
    Some(pem.split_at(at))
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
