//! The lives of a node, numbered: a newer incarnation of a node always wins over an older one.

use std::net::SocketAddr;

use identity::NodeId;
use serde::{Deserialize, Deserializer, Serialize, de};

/// The highest incarnation of a node. Nobody gets there by restarting: what is beyond is refused on the wire.
pub const INCARNATION_MAX: u64 = u64::MAX / 2;

/// Wins over every incarnation; never on the wire. With it, a removed node stays down whatever others say of it.
const INCARNATION_REMOVED: u64 = u64::MAX;

/// One life of a node. Two are the same when node and incarnation are; the address is only where to send.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub(crate) node: NodeId,
    #[serde(deserialize_with = "bounded")]
    pub(crate) incarnation: u64,
    pub(crate) addr: SocketAddr,
}

impl PartialEq for Identity {
    fn eq(&self, other: &Self) -> bool {
        (self.node, self.incarnation) == (other.node, other.incarnation)
    }
}

impl Eq for Identity {}

impl Identity {
    pub(crate) fn new(node: NodeId, incarnation: u64, addr: SocketAddr) -> Self {
        Self { node, incarnation: incarnation.min(INCARNATION_MAX), addr }
    }

    /// The node, gone for good.
    pub(crate) fn removed(node: NodeId, addr: SocketAddr) -> Self {
        Self { node, incarnation: INCARNATION_REMOVED, addr }
    }
}

impl foca::Identity for Identity {
    type Addr = NodeId;

    fn addr(&self) -> NodeId {
        self.node
    }

    /// Being declared down ends an incarnation; the node goes on with the next. Counted up, never drawn at random: a
    /// random one can lose against its own past, for ever in a cluster of two (foca #25).
    fn renew(&self) -> Option<Self> {
        (self.incarnation < INCARNATION_MAX).then(|| Self { incarnation: self.incarnation + 1, ..*self })
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.incarnation > adversary.incarnation
    }
}

/// Reads an incarnation that a node may have.
pub(crate) fn bounded<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let incarnation = u64::deserialize(deserializer)?;
    if incarnation > INCARNATION_MAX {
        return Err(de::Error::custom("incarnation above the highest that a node can have"));
    }
    Ok(incarnation)
}

#[cfg(test)]
mod tests {
    use super::*;
    use foca::Identity as _;

    fn life(incarnation: u64) -> Identity {
        Identity::new(NodeId::new(7).unwrap(), incarnation, "10.0.0.7:7400".parse().unwrap())
    }

    #[test]
    fn the_next_life_wins_over_the_one_before() {
        let next = life(3).renew().unwrap();
        assert_eq!(next.incarnation, 4);
        assert!(next.win_addr_conflict(&life(3)) && !life(3).win_addr_conflict(&next));
        assert!(Identity::removed(next.node, next.addr).win_addr_conflict(&life(INCARNATION_MAX)));
    }

    #[test]
    fn the_last_life_has_no_next() {
        assert_eq!(life(u64::MAX).incarnation, INCARNATION_MAX);
        assert_eq!(life(INCARNATION_MAX).renew(), None);
    }
}
