//! `hedgerow -o json status` and `members`, as far as the laboratory looks at them.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::LabError;
use crate::run::shorten;

/// What a node says about itself.
#[derive(Clone, Debug, Deserialize)]
pub struct Status {
    /// Whether it is a member that has caught up and enforces what the cluster agreed on.
    pub ready: bool,
    /// Why it is not ready.
    #[serde(default)]
    pub waiting_for: Vec<String>,
    /// The number of the node, once it has one.
    pub node: Option<u64>,
    /// The id of the cluster, once it belongs to one.
    pub cluster: Option<String>,
    /// Consensus, once it takes part.
    pub raft: Option<Raft>,
    /// The policy of the cluster as applied there.
    pub policy: Policy,
    /// What it does to packets.
    pub enforcement: Enforcement,
    /// Members by state.
    pub members: MemberCounts,
}

/// Consensus as a node sees it.
#[derive(Clone, Debug, Deserialize)]
pub struct Raft {
    /// `leader`, `follower`, `candidate`, `learner`, `shutdown`.
    pub role: String,
    /// The current term.
    pub term: u64,
    /// The leader, when one is known.
    pub leader: Option<u64>,
    /// The last index known to be committed.
    pub committed: u64,
    /// Who votes.
    pub voters: Vec<u64>,
    /// Who has the log and no vote.
    pub learners: Vec<u64>,
    /// Whether a quorum is within reach.
    pub quorum: bool,
}

/// The policy of the cluster.
#[derive(Clone, Debug, Deserialize)]
pub struct Policy {
    /// The latest committed revision.
    pub revision: u64,
    /// The digest of its documents.
    pub digest: Option<String>,
    /// The revision of the latest committed epoch.
    pub active_revision: u64,
}

/// What a node does to packets.
#[derive(Clone, Debug, Deserialize)]
pub struct Enforcement {
    /// `kernel`, `userspace`, `off`.
    pub mode: String,
    /// What is live, read back from the maps.
    pub attested: Option<Attested>,
    /// Every hook.
    #[serde(default)]
    pub hooks: Vec<Hook>,
}

/// A hook of the data path.
#[derive(Clone, Debug, Deserialize)]
pub struct Hook {
    /// The interface by name.
    pub interface: String,
    /// Where on the interface.
    pub hook: String,
    /// Whether the program is attached there now.
    pub attached: bool,
}

/// What a node enforces, read back from its kernel.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Attested {
    /// The revision of the policy.
    pub revision: u64,
    /// The generation of its data path.
    pub generation: u32,
    /// The digest of the maps.
    pub digest: String,
}

/// Members counted by how gossip sees them.
#[derive(Clone, Debug, Deserialize)]
pub struct MemberCounts {
    /// All committed members.
    pub total: u64,
    /// Alive.
    pub alive: u64,
}

/// What `policy apply` and `policy rollback` answer.
#[derive(Clone, Debug, Deserialize)]
pub struct Applied {
    /// The revision.
    pub revision: u64,
    /// `active`, `committed`, `rejected`, `unchanged`, `dry_run`.
    pub outcome: String,
    /// From the request to the commit, in milliseconds.
    pub committed_ms: u64,
    /// From the request to the last live member's activation, in milliseconds.
    pub activated_ms: Option<u64>,
}

/// What `policy explain` answers.
#[derive(Clone, Debug, Deserialize)]
pub struct Explained {
    /// `allow` or `deny`.
    pub verdict: String,
    /// The steps for a reader.
    pub text: String,
    /// What the kernel of that node answers.
    #[serde(default)]
    pub kernel: Vec<KernelAnswer>,
}

/// What a loaded program said.
#[derive(Clone, Debug, Deserialize)]
pub struct KernelAnswer {
    /// The hook it was asked at.
    pub hook: String,
    /// `allow` or `deny`.
    pub verdict: String,
    /// The numbered reason by name.
    pub reason: String,
    /// Whether it agrees with the compiled image.
    pub agrees: bool,
}

impl Status {
    /// Whether it leads.
    pub fn leads(&self) -> bool {
        self.raft.as_ref().is_some_and(|raft| raft.role == "leader")
    }

    /// Whether its programs are attached to every hook.
    pub fn is_attached(&self) -> bool {
        let hooks = &self.enforcement.hooks;
        !hooks.is_empty() && hooks.iter().all(|hook| hook.attached)
    }

    /// The leader it knows, with a quorum behind it.
    pub fn leader(&self) -> Option<u64> {
        self.raft.as_ref().filter(|raft| raft.quorum).and_then(|raft| raft.leader)
    }
}

/// Reads an answer of the CLI; fields that the laboratory does not look at may come and go.
pub(super) fn read<T: DeserializeOwned>(what: &str, answer: &Value) -> Result<T, LabError> {
    T::deserialize(answer).map_err(|error| LabError::Unexpected {
        what: format!("`hedgerow {what}` ({error})"),
        answer: shorten(&answer.to_string()),
    })
}
