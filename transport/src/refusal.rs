//! Why a node refuses to let another form or join; carried to the dialler, so that a person reads the true reason.

use serde::{Deserialize, Serialize};

/// The reason for which a proof of a secret was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The secret's id is not known here.
    #[error("the token is not known to this cluster; make a new one with `hedgerow cluster token create`")]
    Unknown,
    /// Another node has joined with it.
    #[error("the token has been used; each token admits one node, make another with `hedgerow cluster token create`")]
    Used,
    /// Its time has passed.
    #[error("the token has expired; make a new one with `hedgerow cluster token create`")]
    Expired,
    /// The token is of another cluster.
    #[error("the token is of another cluster; use a token made by a member of this one")]
    WrongCluster,
    /// The bootstrap secret opens nothing any more.
    #[error("the cluster has formed and the bootstrap secret opens nothing any more; join with a token")]
    NoLongerForming,
    /// The other side does not take part in forming, or is not ready yet.
    #[error("the node is not ready to let others in; try again when it is a member of a cluster")]
    NotReady,
    /// The proof does not fit the secret and this connection.
    #[error("the secret is wrong, or the connection was tampered with; compare the secret on both nodes")]
    WrongProof,
    /// The node's key is on the deny-list.
    #[error("the node's key was revoked; remove its state directory and let it join as a new node")]
    Denied,
    /// The secret's id is not known here, and whether the cluster knows it cannot be said at the moment.
    #[error("the node does not know the token, and no quorum has told it in time whether the cluster does; try again")]
    Unconfirmed,
}
