//! What is decided on a packet, and by which rules.
//!
//! Every evaluator (the reference, the image, the kernel) gives the same [`Decision`] for the same model, members and
//! flow. How the fields are to be computed:
//!
//! 1. *Enforced*: in each direction search the policies whose mode is `enforce`, as if the others did not exist.
//! 2. *Trial*: in each direction search all policies, as if all were enforced.
//! 3. `verdict` is `Allow` if both enforced directions allow. `observe` is set if `verdict` is `Allow` and a trial
//!    direction denies: a policy in observe mode would have refused the packet.
//! 4. `ingress` and `egress` are the outcomes of the trial if `observe` is set, else of the enforced search: so a
//!    packet is counted at the rule that refuses it, or would have.
//! 5. `log`: one of the two rules named so says `log`.
//! 6. `keep`: `verdict` is `Allow`, of the two *enforced* outcomes at least one is a rule of a policy with
//!    `existingFlows: keep`, and none is a rule of a policy with `existingFlows: cut`.
//! 7. `limited`: `verdict` is `Allow`, and one of the two rules named in 4 has limits. Whether they are exceeded depends on
//!    other packets and is no part of the decision.
//!
//! Search of one direction, for the address that it protects (ingress: the destination; egress: the source): policies
//! that apply to that address and have a section for the direction, in the order of [`Model::policies`]; in each the
//! first matching rule. `allow` and `deny` end the search, `pass` skips to the first policy of the next tier. If
//! nothing ends it: [`RuleRef::Unmatched`] (deny) with the first policy of the application tier that applied, whatever
//! `pass` skipped of it; else [`RuleRef::Default`] (the default action of the settings).
//!
//! [`Model::policies`]: crate::Model::policies

use std::fmt;

use serde::{Deserialize, Serialize};

/// What happens to a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It passes.
    Allow,
    /// It is dropped.
    Deny,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Allow => "allow",
            Verdict::Deny => "deny",
        })
    }
}

/// The side of a conversation that a rule protects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// Rules for what arrives at the destination address.
    Ingress,
    /// Rules for what leaves the source address.
    Egress,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Ingress => "ingress",
            Side::Egress => "egress",
        })
    }
}

/// What decided in one direction. Indices are positions in [`Model::policies`](crate::Model::policies) and in the rules
/// of that policy for that direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleRef {
    /// No policy of the application tier applies and no rule matched: the default action of the settings.
    Default,
    /// No rule matched, but this policy of the application tier applies: denied (zero trust once selected).
    Unmatched {
        /// The first such policy.
        policy: u32,
    },
    /// This rule, whose action is allow or deny.
    Rule {
        /// The policy.
        policy: u32,
        /// The rule in it.
        rule: u32,
    },
}

/// The answer to "does this packet pass, and who says so": see the module documentation for each field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// Whether the packet passes.
    pub verdict: Verdict,
    /// What decided at the destination.
    pub ingress: RuleRef,
    /// What decided at the source.
    pub egress: RuleRef,
    /// The packet passes, but a policy in observe mode would have denied it.
    pub observe: bool,
    /// One of the deciding rules asks for a log line.
    pub log: bool,
    /// The flow keeps its permission when a later revision takes it away (`existingFlows: keep`).
    pub keep: bool,
    /// The packet passes only as long as the limits of a rule allow it.
    #[serde(default)]
    pub limited: bool,
}
