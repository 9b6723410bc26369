//! Rules and the peers that they speak of.

use std::fmt;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{RuleLimits, Scope, ServiceMatch};

/// What a rule says about a packet that matches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// This direction has nothing against it; the search ends.
    Allow,
    /// Refused; the search ends.
    Deny,
    /// The next tier is asked.
    Pass,
}

impl Action {
    /// Every action as it is written.
    pub const NAMES: [(&'static str, Action); 3] =
        [("allow", Action::Allow), ("deny", Action::Deny), ("pass", Action::Pass)];
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Action::Allow => "allow",
            Action::Deny => "deny",
            Action::Pass => "pass",
        })
    }
}

/// The far end of a rule: `from` at ingress, `to` at egress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Who is meant.
    pub scope: Scope,
    /// Networks that are not meant after all, whatever the scope. Without host bits, sorted.
    pub except: Vec<IpNet>,
}

/// One rule of a policy for one direction. It matches a packet whose far end is one of the peers and that is for one of
/// the services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Unique in its policy and direction.
    pub name: String,
    /// What it says.
    pub action: Action,
    /// Source (ingress) or destination (egress) of the packet. Empty: everybody.
    pub peers: Vec<Peer>,
    /// What the packet is for. Empty: anything, of any protocol.
    pub services: Vec<ServiceMatch>,
    /// Matching packets are to be logged.
    pub log: bool,
    /// How much of what it allows may pass; only where the action is allow.
    pub limits: Option<RuleLimits>,
}
