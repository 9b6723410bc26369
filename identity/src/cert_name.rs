//! The name in a node's certificate: a URI that says which node of which cluster holds the key.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::{ClusterId, NodeId};

const SCHEME: &str = "hedgerow://";

/// Cluster, recovery epoch and node, written `hedgerow://<cluster>/<epoch>/n7`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CertName {
    /// The cluster whose CA issued the certificate.
    pub cluster: ClusterId,
    /// The recovery epoch: raised when a cluster is rebuilt from a survivor, so that old nodes are refused.
    pub epoch: u32,
    /// The node that holds the key.
    pub node: NodeId,
}

/// The text is not the name of a node's certificate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not the name of a node; expected {SCHEME}<cluster>/<epoch>/n<number>")]
pub struct CertNameError {
    /// The text that was given.
    pub text: String,
}

impl fmt::Display for CertName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}/{}", self.cluster, self.epoch, self.node)
    }
}

impl FromStr for CertName {
    type Err = CertNameError;

    fn from_str(text: &str) -> Result<Self, CertNameError> {
        parts(text).ok_or_else(|| CertNameError { text: text.to_owned() })
    }
}

fn parts(text: &str) -> Option<CertName> {
    let (cluster, rest) = text.strip_prefix(SCHEME)?.split_once('/')?;
    let (epoch, node) = rest.split_once('/')?;
    let name = CertName { cluster: cluster.parse().ok()?, epoch: epoch.parse().ok()?, node: node.parse().ok()? };
    // One name, one spelling: leading zeros, signs and capitals are other texts.
    (name.to_string() == text).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn text_form_is_read_back(cluster: [u8; 16], epoch: u32, node in 1u64..) {
            let name = CertName { cluster: ClusterId::from_bytes(cluster), epoch, node: NodeId::new(node).unwrap() };
            prop_assert_eq!(name.to_string().parse::<CertName>(), Ok(name));
        }

        #[test]
        fn other_texts_are_refused_without_panic(text in ".*") {
            prop_assume!(!text.starts_with(SCHEME));
            prop_assert!(text.parse::<CertName>().is_err());
        }
    }

    #[test]
    fn a_second_spelling_is_refused() {
        let cluster = "ab".repeat(16);
        assert!(format!("hedgerow://{cluster}/1/n7").parse::<CertName>().is_ok());
        for text in [
            format!("hedgerow://{cluster}/01/n7"),
            format!("hedgerow://{cluster}/+1/n7"),
            format!("hedgerow://{}/1/n7", cluster.to_uppercase()),
        ] {
            assert!(text.parse::<CertName>().is_err(), "{text}");
        }
    }
}
