//! The id of a node: from a committed counter, never reused (G9).

use std::{fmt, num::NonZeroU64, str::FromStr};

use serde::{Deserialize, Serialize};

/// A node of a cluster. Written `n7`; zero is no node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(NonZeroU64);

/// Why something is not a node id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NodeIdError {
    /// Zero was given.
    #[error("0 is not a node id; node ids begin with n1")]
    Zero,
    /// The text does not have the form of a node id.
    #[error("`{0}` is not a node id; write n and a number, such as n7")]
    Text(String),
}

impl NodeId {
    /// The node with this number.
    ///
    /// # Errors
    /// Zero is no node.
    pub fn new(number: u64) -> Result<Self, NodeIdError> {
        NonZeroU64::new(number).map(Self).ok_or(NodeIdError::Zero)
    }

    /// The number of the node.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = NodeIdError;

    fn from_str(text: &str) -> Result<Self, NodeIdError> {
        let malformed = || NodeIdError::Text(text.to_owned());
        let digits = text.strip_prefix('n').ok_or_else(malformed)?;
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(malformed());
        }
        Self::new(digits.parse().map_err(|_| malformed())?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_is_read_back() {
        let id = NodeId::new(7).unwrap();
        assert_eq!(id.to_string(), "n7");
        assert_eq!("n7".parse(), Ok(id));
    }

    #[test]
    fn zero_signs_and_other_words_are_refused() {
        assert_eq!("n0".parse::<NodeId>(), Err(NodeIdError::Zero));
        for text in ["", "7", "n", "n+7", "n-1", "n99999999999999999999", "node7"] {
            assert_eq!(text.parse::<NodeId>(), Err(NodeIdError::Text(text.to_owned())));
        }
    }
}
