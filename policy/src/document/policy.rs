//! A policy as it is written.

use ipnet::IpNet;

use super::Located;
use crate::model::{Action, Date, ExistingFlows, Mode, Ports, RuleLimits, Selector, Tier};

/// `order` of a policy that does not say: in the middle, with room on both sides.
pub(super) const ORDER_DEFAULT: u32 = 1_000;

/// `spec` of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicySpec {
    /// Rank.
    pub tier: Tier,
    /// Place in the tier.
    pub order: u32,
    /// Whom it protects; never a CIDR.
    pub applies_to: Located<Target>,
    /// Whether it acts.
    pub mode: Mode,
    /// What becomes of flows it no longer allows.
    pub existing_flows: ExistingFlows,
    /// For what arrives; `None`: does not apply in this direction.
    pub ingress: Option<Vec<RuleSpec>>,
    /// For what leaves, likewise.
    pub egress: Option<Vec<RuleSpec>>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// When somebody should look at it again.
    pub review_by: Option<Date>,
    /// When it should be gone.
    pub expires: Option<Date>,
}

/// A set of addresses by reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// The segment of this name, built-in ones included.
    Segment(String),
    /// Segments by label.
    Selector(Selector),
    /// One network.
    Cidr(IpNet),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSpec {
    /// Unique in its policy and direction.
    pub name: Located<String>,
    /// What it says.
    pub action: Action,
    /// `from` or `to`. Empty: everybody.
    pub peers: Vec<PeerSpec>,
    /// What for. Empty, and `icmp` too: anything.
    pub services: Vec<Located<ServiceRef>>,
    /// ICMP and ICMPv6 messages, beside the services.
    pub icmp: Vec<Located<IcmpType>>,
    /// Matching packets are to be logged.
    pub log: bool,
    /// How much of what it allows may pass; only where the action is allow, and never empty.
    pub limits: Option<RuleLimits>,
}

/// The far end of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerSpec {
    /// Who is meant.
    pub target: Located<Target>,
    /// Who of them is not meant after all.
    pub except: Vec<Located<IpNet>>,
}

/// A service by name, or written out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServiceRef {
    /// Of the policy's segments (ingress) or of the segments of `to` (egress).
    Named(String),
    /// Protocol and ports.
    Inline(Ports),
}

/// ICMP messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IcmpType {
    /// By a name of [`ICMP_NAMES`](crate::model::icmp::NAMES), in every family that has it.
    Named(&'static str),
    /// By number, in one family.
    Number(Ports),
}
