//! What a certificate says: the name in it, the key it is for, until when it holds. Says nothing about who signed it.

use std::time::{Duration, SystemTime};

use identity::{CertName, Fingerprint};
use rustls_pki_types::CertificateDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer, time::ASN1Time};

/// The parts of a certificate that Hedgerow looks at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// The node that it names, if it names one.
    pub name: Option<CertName>,
    /// The hash of the key that it is for.
    pub fingerprint: Fingerprint,
    /// The key itself, DER `SubjectPublicKeyInfo`.
    pub public_key: Vec<u8>,
    /// From when it holds.
    pub not_before: SystemTime,
    /// Until when it holds; renewed when two thirds have passed.
    pub not_after: SystemTime,
}

/// Why a certificate cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// The bytes are not a certificate.
    #[error("the bytes are not an X.509 certificate")]
    Malformed,
    /// More than one node is named, and one key is one node.
    #[error("the certificate names more than one node")]
    ManyNames,
}

impl CertificateInfo {
    /// Reads a certificate in DER.
    ///
    /// # Errors
    /// The bytes are no certificate, or one that names two nodes.
    pub fn parse(der: &CertificateDer<'_>) -> Result<Self, CertificateError> {
        let (rest, cert) = X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
        if !rest.is_empty() {
            return Err(CertificateError::Malformed);
        }
        let public_key = cert.public_key().raw.to_vec();
        Ok(Self {
            name: node_name(&cert)?,
            fingerprint: fingerprint_of(&public_key),
            public_key,
            not_before: system_time(cert.validity().not_before),
            not_after: system_time(cert.validity().not_after),
        })
    }

    /// When the certificate is due for renewal: two thirds of its life have passed.
    #[must_use]
    pub fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or_default();
        self.not_before + life * 2 / 3
    }
}

/// The text of every URI in the certificate's alternative names.
pub(crate) fn uris<'a>(cert: &'a X509Certificate<'_>) -> Result<Vec<&'a str>, CertificateError> {
    let extension = cert.subject_alternative_name().map_err(|_| CertificateError::Malformed)?;
    let names = extension.map(|found| found.value.general_names.as_slice()).unwrap_or_default();
    Ok(names.iter().filter_map(|name| if let GeneralName::URI(uri) = name { Some(*uri) } else { None }).collect())
}

pub(crate) fn fingerprint_of(public_key_der: &[u8]) -> Fingerprint {
    Fingerprint(sha256(public_key_der))
}

pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

fn node_name(cert: &X509Certificate<'_>) -> Result<Option<CertName>, CertificateError> {
    let mut names = uris(cert)?.into_iter().filter_map(|uri| uri.parse::<CertName>().ok());
    match (names.next(), names.next()) {
        (_, Some(_)) => Err(CertificateError::ManyNames),
        (name, None) => Ok(name),
    }
}

/// Dates before 1970 become 1970: such a certificate has always begun, or has long ended.
fn system_time(time: ASN1Time) -> SystemTime {
    let seconds = u64::try_from(time.timestamp()).unwrap_or(0);
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}
