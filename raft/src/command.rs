//! What can be proposed to the cluster.

use std::{fmt, net::SocketAddr};

use identity::{ClusterId, Digest, Fingerprint, MemberAddress, MemberRecord, NodeId};
use serde::{Deserialize, Serialize};

/// Bytes of one proposal, at most: documents, messages and all.
pub const PROPOSAL_BYTES_MAX: usize = 8 << 20;
/// Bytes of an actor's name, at most.
pub const ACTOR_BYTES_MAX: usize = 256;
/// Bytes of the message that goes with a revision, and of the reason of an abort, at most.
pub const MESSAGE_TEXT_BYTES_MAX: usize = 4096;

/// A write: who wants what. The same `request_id` again is the same write, not a second one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proposal {
    /// Random, chosen by the client; repeated when the answer was lost.
    pub request_id: u128,
    /// Who asks, for the audit log (G16).
    pub actor: String,
    /// The [`crate::State::guard_basis`] that the guard was judged by, where the command asks more of it: it is refused when
    /// members or channels have changed since, so that no two commands that fit one by one are too much together (G0).
    pub guard_basis: Option<Digest>,
    /// What is asked.
    pub command: Command,
}

/// What a write does to the state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a revision of these documents, each in its canonical JSON form.
    Apply {
        /// The documents; one of the same kind and name is replaced.
        documents: Vec<String>,
        /// Whether documents that are not given here disappear.
        prune: bool,
        /// The revision this must follow; 0 means "there is none yet". Anything else is refused.
        expect: Option<u64>,
        /// Why, for the history.
        message: String,
    },
    /// Makes a new revision with the content of an old one.
    Rollback {
        /// The old revision; 0 for the empty policy from before the first one.
        to: u64,
        /// The revision this must follow. Anything else is refused.
        expect: Option<u64>,
        /// Why, for the history.
        message: String,
    },
    /// Makes a revision the enforced one, in a new epoch.
    Activate {
        /// The revision.
        revision: u64,
        /// The digest of its compiled image, the same on every node.
        image: Digest,
    },
    /// Records that a revision will not be activated.
    Abort {
        /// The revision.
        revision: u64,
        /// Which node refused it, and why.
        reason: String,
    },
    /// Makes a join token known.
    CreateToken(TokenRecord),
    /// Uses up a token and admits a node, under an id that was never used.
    Admit {
        /// The token.
        token: [u8; 16],
        /// The node.
        member: NewMember,
    },
    /// Replaces the record of a member.
    UpdateMember(MemberRecord),
    /// Removes a member, for good; its key is denied from now on.
    RemoveMember {
        /// The member.
        node: NodeId,
    },
    /// Notes in the audit log what was done on one node without the cluster: an override (G16).
    Note {
        /// Which node, and what was done there.
        what: String,
    },
    /// The first entry of a cluster. Proposed by [`crate::Raft::initialise`]; refused once there is a cluster.
    Found {
        /// Identity and CA of the cluster.
        genesis: Genesis,
        /// Its first members.
        members: Vec<MemberRecord>,
    },
}

/// Bytes of documents from which on applying them counts as long work.
const HEAVY_BYTES: usize = 64 << 10;

impl Command {
    /// Whether applying this may take milliseconds.
    pub(crate) fn is_heavy(&self) -> bool {
        match self {
            Self::Apply { documents, .. } => documents.iter().map(String::len).sum::<usize>() > HEAVY_BYTES,
            Self::Rollback { .. } => true,
            _ => false,
        }
    }

    /// What the audit log calls this.
    pub(crate) fn summary(&self) -> String {
        match self {
            Self::Apply { documents, prune, .. } => {
                format!("apply {} documents{}", documents.len(), if *prune { ", replacing all" } else { "" })
            }
            Self::Rollback { to, .. } => format!("roll back to revision {to}"),
            Self::Activate { revision, .. } => format!("activate revision {revision}"),
            Self::Abort { revision, reason } => format!("abort revision {revision}: {reason}"),
            Self::CreateToken(_) => "create a join token".to_owned(),
            Self::Admit { member, .. } => format!("admit {} at {}", member.name, member.endpoint),
            Self::UpdateMember(record) => format!("update the record of {}", record.node),
            Self::RemoveMember { node } => format!("remove {node}"),
            Self::Note { what } => what.clone(),
            Self::Found { genesis, members } => {
                format!("found cluster {} with {} members", genesis.cluster, members.len())
            }
        }
    }
}

/// Identity of a new cluster.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Genesis {
    /// The cluster's id.
    pub cluster: ClusterId,
    /// The recovery epoch, 1 for a new cluster.
    pub epoch: u32,
    /// Certificate and key of the cluster's CA.
    pub ca_pem: String,
}

// The key of the CA is in there: it must not reach a log.
impl fmt::Debug for Genesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Genesis").field("cluster", &self.cluster).field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

/// A member record before the cluster has given it an id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewMember {
    /// The name that its operator gave it; unique in the cluster.
    pub name: String,
    /// Where its QUIC endpoint listens.
    pub endpoint: SocketAddr,
    /// Where its HTTPS API listens, if it does.
    pub api: Option<SocketAddr>,
    /// The key that its certificates are issued for.
    pub fingerprint: Fingerprint,
    /// Every address by which its peers may see it.
    pub addresses: Vec<MemberAddress>,
    /// Whether it only votes.
    pub witness: bool,
}

impl NewMember {
    /// The record of this member under an id.
    #[must_use]
    pub fn into_record(self, node: NodeId) -> MemberRecord {
        let Self { name, endpoint, api, fingerprint, addresses, witness } = self;
        MemberRecord { node, name, endpoint, api, fingerprint, addresses, witness }
    }
}

/// A join token as the cluster remembers it: never the secret, only what proves knowledge of it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenRecord {
    /// The public name of the token.
    pub id: [u8; 16],
    /// A hash of its secret.
    pub secret_hash: Digest,
    /// When it stops being valid, in milliseconds since 1970, judged by the clock of the node that accepts the use.
    pub expires_ms: u64,
    /// Who has used it.
    pub used_by: Option<TokenUse>,
}

// Where a hash of the secret serves as a key of a proof, it is itself a secret.
impl fmt::Debug for TokenRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenRecord")
            .field("id", &self.id)
            .field("expires_ms", &self.expires_ms)
            .field("used_by", &self.used_by)
            .finish_non_exhaustive()
    }
}

/// The one use of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenUse {
    /// The key that was admitted.
    pub fingerprint: Fingerprint,
    /// The id that it was given.
    pub node: NodeId,
}

/// A proposal with the time at which a node accepted it: what the log carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stamped {
    /// The write.
    pub proposal: Proposal,
    /// The wall clock of the accepting node, in milliseconds since 1970. Only token expiry and the audit log look at it.
    pub at_ms: u64,
}

impl fmt::Display for Stamped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x} {}", self.proposal.request_id, self.proposal.command.summary())
    }
}
