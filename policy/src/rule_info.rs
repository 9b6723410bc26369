//! What the rule indices of an image mean.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    model::{Action, RuleLimits, Tier},
    verdict::{RuleRef, Side, Verdict},
};

/// A rule of an image: written by somebody, or implied. Its index in [`Image::rules`](crate::Image::rules) is also that of its counter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleInfo {
    /// Where the rule is in the model.
    pub reference: RuleRef,
    /// The direction; `None` for the default action, which stands for both.
    pub side: Option<Side>,
    /// The tier of the policy; `None` for the default action.
    pub tier: Option<Tier>,
    /// The policy; `None` for the default action.
    pub policy: Option<String>,
    /// The name of the rule; `None` for what is implied.
    pub rule: Option<String>,
    /// What it does.
    pub action: Action,
    /// How much of what it allows may pass.
    #[serde(default)]
    pub limits: Option<RuleLimits>,
}

impl RuleInfo {
    /// The default action: what decides where no policy speaks.
    pub fn default_action(verdict: Verdict) -> RuleInfo {
        let action = match verdict {
            Verdict::Allow => Action::Allow,
            Verdict::Deny => Action::Deny,
        };
        RuleInfo { reference: RuleRef::Default, side: None, tier: None, policy: None, rule: None, action, limits: None }
    }
}

/// The identity of the rule's counter: a rule that keeps it from one revision to the next keeps its count.
impl fmt::Display for RuleInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.policy, self.side, &self.rule) {
            (Some(policy), Some(side), Some(rule)) => write!(f, "{policy}/{side}/{rule}"),
            (Some(policy), Some(side), None) => write!(f, "{policy}/{side} (no rule matched)"),
            _ => f.write_str("default action"),
        }
    }
}
