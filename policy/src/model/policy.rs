//! A policy: which addresses it protects, how it ranks, what it says.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Date, Rule, Scope};
use crate::verdict::Side;

/// Rank of a policy; the first of these is asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// For the hour in which something is on fire.
    Emergency,
    /// Of those who run the network.
    Platform,
    /// Of those who run an application. What such a policy applies to is denied unless a rule allows it.
    Application,
    /// What holds where nobody said anything.
    Baseline,
}

impl Tier {
    /// Every tier as it is written, in order.
    pub const NAMES: [(&'static str, Tier); 4] = [
        ("emergency", Tier::Emergency),
        ("platform", Tier::Platform),
        ("application", Tier::Application),
        ("baseline", Tier::Baseline),
    ];
}

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Tier::Emergency => "emergency",
            Tier::Platform => "platform",
            Tier::Application => "application",
            Tier::Baseline => "baseline",
        })
    }
}

/// Whether a policy acts or only watches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Its verdict is computed and reported; the packet passes as if the policy did not exist.
    Observe,
    /// Its verdict holds.
    #[default]
    Enforce,
}

impl Mode {
    /// Every mode as it is written.
    pub const NAMES: [(&'static str, Mode); 2] = [("observe", Mode::Observe), ("enforce", Mode::Enforce)];
}

/// What becomes of established flows that a later revision refuses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExistingFlows {
    /// They end with the permission (G19).
    #[default]
    Cut,
    /// They may go on until they end by themselves.
    Keep,
}

impl ExistingFlows {
    /// Both as they are written.
    pub const NAMES: [(&'static str, ExistingFlows); 2] = [("cut", ExistingFlows::Cut), ("keep", ExistingFlows::Keep)];
}

/// A policy with its names resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Unique among policies.
    pub name: String,
    /// Rank.
    pub tier: Tier,
    /// Place in the tier; lower is asked first, equals by name.
    pub order: u32,
    /// The addresses it protects: destinations at ingress, sources at egress. Never [`Scope::Cidr`].
    pub applies_to: Scope,
    /// Whether it acts.
    pub mode: Mode,
    /// What becomes of flows it no longer allows.
    pub existing_flows: ExistingFlows,
    /// Rules for what arrives. `None`: does not apply in this direction; empty: applies, and matches nothing.
    pub ingress: Option<Vec<Rule>>,
    /// Rules for what leaves, likewise.
    pub egress: Option<Vec<Rule>>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When somebody should look at it again.
    pub review_by: Option<Date>,
    /// When it should be gone.
    pub expires: Option<Date>,
}

impl Policy {
    /// The rules for one direction; `None` if the policy does not apply in it.
    pub fn rules(&self, side: Side) -> Option<&[Rule]> {
        match side {
            Side::Ingress => self.ingress.as_deref(),
            Side::Egress => self.egress.as_deref(),
        }
    }
}
