//! The key of a node: made by the node itself, never leaves it.

use std::{fmt, sync::Arc};

use identity::Fingerprint;
use rcgen::{CertificateParams, DnType, KeyPair, PublicKeyData};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::certificate::fingerprint_of;

/// A private key of a node (ECDSA P-256) and its public half. Cheap to clone.
#[derive(Clone)]
pub struct NodeKey {
    pair: Arc<KeyPair>,
}

/// Why there is no key. Nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The system gave no random bytes.
    #[error("no key could be made: {0}; see whether the system has a source of random numbers")]
    Generate(String),
    /// The text holds no private key that this program can use.
    #[error("the text is not a private key in PEM (PKCS #8, ECDSA P-256 or P-384, Ed25519): {0}")]
    Pem(String),
    /// The key cannot sign a certificate for itself.
    #[error("the key could not sign its own certificate: {0}")]
    SelfSign(String),
}

impl NodeKey {
    /// A new key from the system's random numbers.
    ///
    /// # Errors
    /// The system gave none.
    pub fn generate() -> Result<Self, KeyError> {
        let pair = KeyPair::generate().map_err(|e| KeyError::Generate(e.to_string()))?;
        Ok(Self { pair: Arc::new(pair) })
    }

    /// The key in a PEM text.
    ///
    /// # Errors
    /// The text is no PKCS #8 private key of a known kind.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let pair = KeyPair::from_pem(pem).map_err(|e| KeyError::Pem(e.to_string()))?;
        Ok(Self { pair: Arc::new(pair) })
    }

    /// The private key as PEM (PKCS #8). The caller keeps it readable for its own user only.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// The hash of the public key, by which the cluster knows this node before it has an id.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        fingerprint_of(&self.public_key())
    }

    /// The public key as DER `SubjectPublicKeyInfo`: what an authority issues a certificate for.
    #[must_use]
    pub fn public_key(&self) -> Vec<u8> {
        self.pair.subject_public_key_info()
    }

    /// The private key as DER, to go into [`crate::Credentials`].
    #[must_use]
    pub fn private_der(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.pair.serialize_der()).into()
    }

    /// A certificate that the key signs for itself: says nothing but "I hold this key". Used before there is a cluster.
    pub(crate) fn self_signed(&self) -> Result<CertificateDer<'static>, KeyError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "hedgerow node without a cluster");
        let cert = params.self_signed(&*self.pair).map_err(|e| KeyError::SelfSign(e.to_string()))?;
        Ok(cert.der().clone())
    }
}

impl fmt::Debug for NodeKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodeKey").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_survives_its_text_form() {
        let key = NodeKey::generate().unwrap();
        let again = NodeKey::from_pem(&key.to_pem()).unwrap();
        assert_eq!(key.fingerprint(), again.fingerprint());
        assert_eq!(key.public_key(), again.public_key());
    }

    #[test]
    fn damaged_text_is_refused_and_keys_are_not_printed() {
        let key = NodeKey::generate().unwrap();
        let pem = key.to_pem();
        assert!(matches!(NodeKey::from_pem(&pem[..pem.len() / 2]), Err(KeyError::Pem(_))));
        let shown = format!("{key:?}");
        assert!(shown.contains("fingerprint") && !shown.contains("PRIVATE"));
    }
}
