//! What the cluster has agreed on about a node: the committed record, from which the guard is derived.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

use crate::{Fingerprint, NodeId};

/// What an interface of a load balancer is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Traffic between the nodes themselves.
    Cluster,
    /// Clients arrive here; virtual addresses live here.
    Vip,
    /// The servers behind the load balancers.
    Backend,
}

/// The word is not an interface role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an interface role; write cluster, vip or backend")]
pub struct RoleError(pub String);

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cluster => "cluster",
            Self::Vip => "vip",
            Self::Backend => "backend",
        })
    }
}

impl FromStr for Role {
    type Err = RoleError;

    fn from_str(text: &str) -> Result<Self, RoleError> {
        match text {
            "cluster" => Ok(Self::Cluster),
            "vip" => Ok(Self::Vip),
            "backend" => Ok(Self::Backend),
            other => Err(RoleError(other.to_owned())),
        }
    }
}

/// One address of a node on its interface of a role; link-local addresses included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct MemberAddress {
    /// The role of the interface that carries the address.
    pub role: Role,
    /// The address itself.
    pub addr: IpAddr,
}

/// A node as the cluster has committed it. Sync flows are a function of these records (G0), never of gossip (G14).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRecord {
    /// The node.
    pub node: NodeId,
    /// The name that its operator gave it.
    pub name: String,
    /// Where its QUIC endpoint listens, on the cluster interface.
    pub endpoint: SocketAddr,
    /// Where its HTTPS API listens, if it does.
    pub api: Option<SocketAddr>,
    /// The key that its certificates are issued for.
    pub fingerprint: Fingerprint,
    /// Every address by which its peers may see it.
    pub addresses: Vec<MemberAddress>,
    /// Whether it only votes: no data path, does not want to lead.
    pub witness: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_read_back_and_others_are_named() {
        for role in [Role::Cluster, Role::Vip, Role::Backend] {
            assert_eq!(role.to_string().parse(), Ok(role));
        }
        assert_eq!(
            "front".parse::<Role>().unwrap_err().to_string(),
            "`front` is not an interface role; write cluster, vip or backend"
        );
    }
}
