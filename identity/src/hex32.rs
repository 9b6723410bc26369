//! The two 32-byte hashes that name things: contents and keys.

use crate::hex::hex_id;

/// The SHA-256 of some content: a revision, an image, a state.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(pub [u8; 32]);

hex_id!(Digest, 32);

impl Digest {
    /// Hexadecimal digits in the short form.
    pub const SHORT_DIGITS: usize = 12;

    /// The first digits, for tables that people read.
    #[must_use]
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(Self::SHORT_DIGITS);
        text
    }
}

/// The SHA-256 of a public key (DER `SubjectPublicKeyInfo`, RFC 5280 section 4.1.2.7).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint(pub [u8; 32]);

hex_id!(Fingerprint, 32);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_is_read_back(bytes: [u8; 32]) {
            let digest = Digest(bytes);
            prop_assert_eq!(digest.to_string().parse::<Digest>(), Ok(digest));
            let json = serde_json::to_string(&digest).expect("digests are JSON strings");
            prop_assert_eq!(serde_json::from_str::<Digest>(&json).expect("own output"), digest);
        }
    }

    #[test]
    fn a_cut_digest_is_refused_with_both_lengths() {
        let error = "abcd".parse::<Digest>().unwrap_err();
        assert_eq!(error.to_string(), "expected 64 hexadecimal digits, found 4 characters; copy the whole id");
    }
}
