//! The token with which a node joins: one printable word that a person copies from one terminal to another.

use std::{fmt, net::SocketAddr, str::FromStr};

use identity::{ClusterId, Digest, Fingerprint};
use serde::{Deserialize, Serialize};

use crate::{Secret, SecretId, base64url, certificate::sha256, codec};

/// What every token begins with; the number is the version of its form.
const PREFIX: &str = "hrt1.";

/// The longest token, in characters.
const TEXT_BYTES_MAX: usize = 2048;

/// Seeds in one token.
const SEEDS_MAX: usize = 16;

/// Bytes of the checksum at the end.
const CHECKSUM_BYTES: usize = 4;

/// Everything that a node needs to join: which cluster, whom to believe, what to prove, where to go.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinToken {
    /// The cluster to join.
    pub cluster: ClusterId,
    /// The hash of the public key of the cluster's authority: the joiner believes nobody else.
    pub ca: Fingerprint,
    /// Which token this is; the cluster knows it by this id.
    pub id: [u8; 16],
    /// The secret to prove. The cluster keeps only its hash.
    pub secret: [u8; 32],
    /// When it ends, in milliseconds since 1970 (UTC).
    pub expires_ms: u64,
    /// Members to try, in this order.
    pub seeds: Vec<SocketAddr>,
}

/// Why a text is not a token. Nothing was sent to anyone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It does not begin as a token does.
    #[error(
        "this is not a join token: one begins with `{PREFIX}`; copy the whole word that `hedgerow cluster token create` printed"
    )]
    NotAToken,
    /// It begins as a token of a later version.
    #[error("this token was made by a newer Hedgerow; upgrade this node first")]
    Newer,
    /// It has the form of a token, and its checksum is wrong.
    #[error("the token is damaged: its checksum is wrong; a part is missing or a character was changed, copy it again")]
    Damaged,
    /// It is longer than any token.
    #[error("the token is too long: {found} characters, at most {TEXT_BYTES_MAX}; copy one token only")]
    TooLong {
        /// Characters found.
        found: usize,
    },
    /// It has no addresses, or too many.
    #[error("the token names {found} members to join by, it must be 1 to {SEEDS_MAX}")]
    Seeds {
        /// Addresses found.
        found: usize,
    },
}

impl JoinToken {
    /// The secret to prove when dialling a member of the token's cluster.
    #[must_use]
    pub fn secret(&self) -> Secret {
        Secret::from_hash(SecretId(self.id), self.secret_hash()).for_cluster(self.cluster)
    }

    /// What the cluster keeps of the secret.
    #[must_use]
    pub fn secret_hash(&self) -> Digest {
        Digest(sha256(&self.secret))
    }

    /// Whether the token's time has passed, by the clock of the caller. The cluster decides by its own.
    #[must_use]
    pub fn is_expired(&self, now_ms: u64) -> bool {
        now_ms >= self.expires_ms
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = codec::encode(self).map_err(|_| fmt::Error)?;
        bytes.extend(checksum(&bytes));
        write!(f, "{PREFIX}{}", base64url::encode(&bytes))
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("cluster", &self.cluster)
            .field("id", &SecretId(self.id))
            .field("expires_ms", &self.expires_ms)
            .field("seeds", &self.seeds)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = TokenError;

    fn from_str(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if text.len() > TEXT_BYTES_MAX {
            return Err(TokenError::TooLong { found: text.chars().count() });
        }
        let Some(word) = text.strip_prefix(PREFIX) else {
            return Err(if is_newer(text) { TokenError::Newer } else { TokenError::NotAToken });
        };
        let bytes = base64url::decode(word).ok_or(TokenError::Damaged)?;
        let at = bytes.len().checked_sub(CHECKSUM_BYTES).ok_or(TokenError::Damaged)?;
        let (content, sum) = bytes.split_at(at);
        if checksum(content) != sum {
            return Err(TokenError::Damaged);
        }
        let token: Self = codec::decode(content).map_err(|_| TokenError::Damaged)?;
        match token.seeds.len() {
            1..=SEEDS_MAX => Ok(token),
            found => Err(TokenError::Seeds { found }),
        }
    }
}

fn checksum(content: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [a, b, c, d, ..] = sha256(content);
    [a, b, c, d]
}

fn is_newer(text: &str) -> bool {
    let version =
        text.strip_prefix("hrt").and_then(|rest| rest.split_once('.')).map(|(version, _)| version.parse::<u32>());
    matches!(version, Some(Ok(version)) if version > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn token(seed: u8, seeds: Vec<SocketAddr>) -> JoinToken {
        JoinToken {
            cluster: ClusterId::from_bytes([seed; 16]),
            ca: Fingerprint([seed ^ 1; 32]),
            id: [seed ^ 2; 16],
            secret: [seed ^ 3; 32],
            expires_ms: 1_800_000_000_000,
            seeds,
        }
    }

    fn addresses() -> impl Strategy<Value = Vec<SocketAddr>> {
        let address = (any::<std::net::IpAddr>(), any::<u16>()).prop_map(SocketAddr::from);
        prop::collection::vec(address, 1..=SEEDS_MAX)
    }

    proptest! {
        #[test]
        fn a_token_is_one_printable_word_and_is_read_back(seed: u8, seeds in addresses()) {
            let made = token(seed, seeds);
            let text = made.to_string();
            prop_assert!(text.starts_with(PREFIX) && text.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert_eq!(format!("  {text}\n").parse(), Ok(made));
        }

        #[test]
        fn one_changed_or_missing_character_is_noticed(seed: u8, at in any::<prop::sample::Index>(), new in "[A-Za-z0-9_-]") {
            let text = token(seed, vec!["10.0.0.1:7400".parse().unwrap()]).to_string();
            let at = PREFIX.len() + at.index(text.len() - PREFIX.len());
            let mut changed = text.clone();
            changed.replace_range(at..=at, &new);
            prop_assume!(changed != text);
            prop_assert_eq!(changed.parse::<JoinToken>(), Err(TokenError::Damaged));
            prop_assert_eq!(text[..at].parse::<JoinToken>(), Err(TokenError::Damaged));
        }

        #[test]
        fn g15_any_text_is_refused_without_panic(text in "(hrt1\\.)?.*") {
            prop_assert!(text.parse::<JoinToken>().is_err());
        }
    }

    #[test]
    fn each_mistake_has_its_own_sentence() {
        assert_eq!("eyJhbGciOi".parse::<JoinToken>(), Err(TokenError::NotAToken));
        assert_eq!("hrt2.AAAA".parse::<JoinToken>(), Err(TokenError::Newer));
        assert_eq!(token(1, vec![]).to_string().parse::<JoinToken>(), Err(TokenError::Seeds { found: 0 }));
        let long = format!("{PREFIX}{}", "A".repeat(TEXT_BYTES_MAX));
        assert_eq!(long.parse::<JoinToken>(), Err(TokenError::TooLong { found: TEXT_BYTES_MAX + PREFIX.len() }));
    }

    #[test]
    fn the_cluster_keeps_the_hash_and_the_joiner_proves_by_it() {
        let token = token(1, vec!["[fd00::1]:7400".parse().unwrap()]);
        assert_eq!(token.secret().hash(), token.secret_hash());
        assert_ne!(token.secret_hash().0, token.secret);
        assert!(!format!("{token:?}").contains("secret"));
        assert!(token.is_expired(token.expires_ms) && !token.is_expired(token.expires_ms - 1));
    }
}
