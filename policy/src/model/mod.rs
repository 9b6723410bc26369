//! Policy with every name resolved: what the evaluators and the compiler work on.
//!
//! A [`Model`] is made only by [`validate`](crate::validate) (and by tests); whoever has one may trust that every index
//! in it is valid and every limit of [`limits`] holds.

mod date;
pub mod icmp;
pub mod limits;
mod policy;
pub mod protocol;
mod rate;
mod rule;
mod scope;
mod segment;
mod selector;
mod service;
mod settings;

pub use date::{Date, DateError};
pub use policy::{ExistingFlows, Mode, Policy, Tier};
pub use rate::{Rate, RuleLimits};
pub use rule::{Action, Peer, Rule};
pub use scope::Scope;
pub use segment::{ANY, MEMBERS, Segment, SegmentRole};
pub use selector::Selector;
pub use service::{Ports, Service, ServiceMatch};
pub use settings::{DefaultAction, Settings};

use crate::channel::Channel;
use crate::verdict::{RuleRef, Side};

/// Everything a revision says, resolved and in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// Sorted by name, without the built-in ones. [`Scope::Segments`] and [`ServiceMatch::target`] index into it.
    pub segments: Vec<Segment>,
    /// Sorted by tier, order, name: the order in which they are asked.
    pub policies: Vec<Policy>,
    /// What holds where no policy speaks.
    pub settings: Settings,
    /// Channels beyond those that nodes declare for themselves, sorted by name.
    pub channels: Vec<Channel>,
}

impl Model {
    /// The position of a segment in [`Model::segments`].
    pub fn segment_index(&self, name: &str) -> Option<usize> {
        self.segments.binary_search_by(|segment| segment.name.as_str().cmp(name)).ok()
    }

    /// What decided, in words: `policy/side/rule`, or which default.
    pub fn describe(&self, rule: RuleRef, side: Side) -> String {
        let policy = |index: u32| usize::try_from(index).ok().and_then(|index| self.policies.get(index));
        match rule {
            RuleRef::Default => "default action".to_owned(),
            RuleRef::Unmatched { policy: index } => {
                let name = policy(index).map_or("?", |policy| policy.name.as_str());
                format!("{name}/{side} (no rule matched)")
            }
            RuleRef::Rule { policy: index, rule } => {
                let policy = policy(index);
                let rules = policy.and_then(|policy| policy.rules(side)).unwrap_or_default();
                let rule = usize::try_from(rule).ok().and_then(|rule| rules.get(rule));
                let name = policy.map_or("?", |policy| policy.name.as_str());
                format!("{name}/{side}/{}", rule.map_or("?", |rule| rule.name.as_str()))
            }
        }
    }
}
