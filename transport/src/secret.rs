//! A shared secret and the proof of knowing it, bound to one connection and to one side of it.

use std::fmt;

use identity::{ClusterId, Digest, Fingerprint};
use ring::hmac;
use serde::{Deserialize, Serialize};

use crate::certificate::sha256;

/// Which secret a proof is about. All zero: the bootstrap secret of zero-touch forming; otherwise the id of a token.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SecretId(pub [u8; 16]);

impl SecretId {
    /// The bootstrap secret of zero-touch forming.
    pub const BOOTSTRAP: Self = Self([0; 16]);
}

impl fmt::Display for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::BOOTSTRAP {
            return f.write_str("bootstrap");
        }
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SecretId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretId({self})")
    }
}

/// A secret: its id, the hash of its text (which keys the proofs), and the cluster it was made for, if any.
#[derive(Clone)]
pub struct Secret {
    id: SecretId,
    cluster: Option<ClusterId>,
    key: Digest,
}

/// Why a text is not fit to be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short to withstand guessing.
    #[error(
        "the bootstrap secret has {found} bytes, at least {SECRET_BYTES_MIN} are needed; try `openssl rand -hex 32`"
    )]
    Short {
        /// Bytes given.
        found: usize,
    },
}

/// The shortest bootstrap secret, in bytes: 16 random ones cannot be guessed.
const SECRET_BYTES_MIN: usize = 16;

impl Secret {
    /// The bootstrap secret in a text; spaces and line ends around it do not count.
    ///
    /// # Errors
    /// The text is too short to withstand guessing.
    pub fn bootstrap(text: &[u8]) -> Result<Self, SecretError> {
        let text = text.trim_ascii();
        if text.len() < SECRET_BYTES_MIN {
            return Err(SecretError::Short { found: text.len() });
        }
        Ok(Self { id: SecretId::BOOTSTRAP, cluster: None, key: Digest(sha256(text)) })
    }

    /// The secret with this id whose SHA-256 is known: all that the cluster keeps of a token.
    #[must_use]
    pub fn from_hash(id: SecretId, hash: Digest) -> Self {
        Self { id, cluster: None, key: hash }
    }

    /// The same secret, to be proven to members of this cluster only.
    #[must_use]
    pub fn for_cluster(self, cluster: ClusterId) -> Self {
        Self { cluster: Some(cluster), ..self }
    }

    /// Which secret this is.
    #[must_use]
    pub fn id(&self) -> SecretId {
        self.id
    }

    /// The SHA-256 of the secret's bytes: what the cluster keeps of a token.
    #[must_use]
    pub fn hash(&self) -> Digest {
        self.key
    }

    pub(crate) fn cluster(&self) -> Option<ClusterId> {
        self.cluster
    }

    pub(crate) fn prove(&self, claim: &Claim) -> [u8; 32] {
        let tag = hmac::sign(&self.hmac_key(), &claim.bytes(self.id));
        tag.as_ref().try_into().expect("HMAC-SHA256 has 32 bytes")
    }

    /// Whether the proof is right. Takes the same time for every wrong proof.
    pub(crate) fn verify(&self, claim: &Claim, proof: &[u8; 32]) -> bool {
        hmac::verify(&self.hmac_key(), &claim.bytes(self.id), proof).is_ok()
    }

    fn hmac_key(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &self.key.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secret").field("id", &self.id).field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// Which side of a connection proves. Without it a proof could be sent back to the one who made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Dialler,
    Acceptor,
}

/// What a proof is about: this side of this TLS connection between these two keys.
pub(crate) struct Claim {
    pub(crate) side: Side,
    /// Keying material exported from the connection (RFC 8446 section 7.5): differs on the two legs of a relay.
    pub(crate) exporter: [u8; 32],
    pub(crate) dialler: Fingerprint,
    pub(crate) acceptor: Fingerprint,
}

impl Claim {
    fn bytes(&self, id: SecretId) -> Vec<u8> {
        let role: &[u8] = match self.side {
            Side::Dialler => b"hedgerow-form/1 dialler.",
            Side::Acceptor => b"hedgerow-form/1 acceptor",
        };
        // Every part has a fixed length, so that no two claims have the same bytes.
        [role, &self.exporter, &self.dialler.0, &self.acceptor.0, &id.0].concat()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(side: Side) -> Claim {
        Claim { side, exporter: [1; 32], dialler: Fingerprint([2; 32]), acceptor: Fingerprint([3; 32]) }
    }

    #[test]
    fn a_proof_holds_for_its_claim_only() {
        let secret = Secret::bootstrap(b"0123456789abcdef\n").unwrap();
        let proof = secret.prove(&claim(Side::Dialler));
        assert!(secret.verify(&claim(Side::Dialler), &proof));
        assert!(!secret.verify(&claim(Side::Acceptor), &proof), "a proof must not be reflected");
        assert!(!secret.verify(&Claim { exporter: [9; 32], ..claim(Side::Dialler) }, &proof));
        assert!(!secret.verify(&Claim { dialler: Fingerprint([9; 32]), ..claim(Side::Dialler) }, &proof));
        assert!(!secret.verify(&Claim { acceptor: Fingerprint([9; 32]), ..claim(Side::Dialler) }, &proof));
        let other = Secret::bootstrap(b"0123456789abcdeF").unwrap();
        assert!(!other.verify(&claim(Side::Dialler), &proof));
    }

    #[test]
    fn short_secrets_are_refused_and_no_secret_is_printed() {
        assert_eq!(Secret::bootstrap(b" short ").unwrap_err(), SecretError::Short { found: 5 });
        let secret = Secret::from_hash(SecretId([7; 16]), Digest([0xab; 32]));
        assert!(!format!("{secret:?}").contains("abab"));
    }
}
