//! Members: what they tell of themselves, and how a node sees them.

use std::net::SocketAddr;

use identity::{Digest, NodeId};
use serde::{Deserialize, Serialize};

/// Longest name of a member, in bytes.
const NAME_BYTES_MAX: usize = 64;
/// Longest version of a member's software, in bytes.
const VERSION_BYTES_MAX: usize = 32;
/// Most roles of a member.
const ROLES_MAX: usize = 8;
/// Longest role, in bytes.
const ROLE_BYTES_MAX: usize = 16;

/// This node, as it enters the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalMember {
    /// Its id.
    pub node: NodeId,
    /// Where it can be reached.
    pub addr: SocketAddr,
    /// Persisted by the caller and raised by one before each start: two starts with one incarnation cannot be told apart.
    pub incarnation: u64,
    /// What it tells of itself at first.
    pub meta: Meta,
}

/// What a member tells of itself; the last one it told wins.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Meta {
    /// Its name, at most 64 bytes.
    pub name: String,
    /// The version of its software, at most 32 bytes.
    pub version: String,
    /// The roles of its interfaces, at most 8 of at most 16 bytes.
    pub roles: Vec<String>,
    /// Where its API listens, if other machines can reach it.
    pub api: Option<SocketAddr>,
    /// Whether it votes without a data path.
    pub witness: bool,
    /// What its data path enforces, as read back from the kernel.
    pub attested: Option<Attested>,
    /// The last log index that it applied.
    pub applied_index: u64,
    /// Whether its data path is told to pass everything.
    pub disarmed: bool,
}

/// What a node enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attested {
    /// The revision of the policy.
    pub revision: u64,
    /// The generation of the node's data path.
    pub generation: u32,
    /// The digest of the maps.
    pub digest: Digest,
}

/// How a node sees a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MemberState {
    /// It answers probes.
    Alive,
    /// It missed a probe and has not refuted the suspicion yet. Still counts as alive.
    Suspect,
    /// It missed a probe and did not refute the suspicion in time.
    Down,
    /// It said that it leaves.
    Left,
}

/// A member as a node sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub node: NodeId,
    /// Where it said it can be reached.
    pub addr: SocketAddr,
    /// Raised at each of its starts, and when it comes back after it was declared down.
    pub incarnation: u64,
    /// How it is seen.
    pub state: MemberState,
    /// What it told of itself last; [`Meta::default`] for the moment between its first probe and its first word.
    pub meta: Meta,
}

// === impl Meta ===

impl Meta {
    /// The same within the limits above: what is longer is cut, at the end of a character.
    pub(crate) fn trimmed(mut self) -> Self {
        cut(&mut self.name, NAME_BYTES_MAX);
        cut(&mut self.version, VERSION_BYTES_MAX);
        self.roles.truncate(ROLES_MAX);
        for role in &mut self.roles {
            cut(role, ROLE_BYTES_MAX);
        }
        self
    }

    pub(crate) fn is_within_limits(&self) -> bool {
        self.name.len() <= NAME_BYTES_MAX
            && self.version.len() <= VERSION_BYTES_MAX
            && self.roles.len() <= ROLES_MAX
            && self.roles.iter().all(|role| role.len() <= ROLE_BYTES_MAX)
    }

    /// Whether the other differs in nothing, or in nothing but the applied index, which changes all the time.
    pub(crate) fn is_nearly(&self, other: &Self) -> bool {
        let Self { name, version, roles, api, witness, attested, applied_index: _, disarmed } = self;
        (name, version, roles, api) == (&other.name, &other.version, &other.roles, &other.api)
            && (witness, attested, disarmed) == (&other.witness, &other.attested, &other.disarmed)
    }
}

fn cut(text: &mut String, bytes_max: usize) {
    text.truncate(text.floor_char_boundary(bytes_max));
}

// === impl MemberState ===

impl MemberState {
    /// Whether the member takes part: alive, or only suspected.
    #[must_use]
    pub fn is_active(self) -> bool {
        matches!(self, Self::Alive | Self::Suspect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_is_cut_at_the_end_of_a_character() {
        let meta = Meta { name: "ä".repeat(40), roles: vec!["x".repeat(20); 9], ..Meta::default() }.trimmed();
        assert_eq!(meta.name, "ä".repeat(32));
        assert_eq!(meta.roles, vec!["x".repeat(16); 8]);
        assert!(meta.is_within_limits());
        let odd = Meta { version: format!("x{}", "ä".repeat(16)), ..Meta::default() };
        assert!(!odd.is_within_limits());
        assert_eq!(odd.trimmed().version.len(), 31);
    }

    #[test]
    fn only_the_applied_index_may_wait() {
        let meta = Meta::default();
        assert!(meta.is_nearly(&Meta { applied_index: 7, ..Meta::default() }));
        assert!(!meta.is_nearly(&Meta { disarmed: true, ..Meta::default() }));
    }
}
