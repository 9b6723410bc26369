//! Numbers the rules of a model, written and implied: the indices that verdicts and counters use.

use std::collections::BTreeMap;

use super::intern::number;
use crate::{
    image::{FLAG_CUT, FLAG_KEEP, NONE},
    model::{Action, ExistingFlows, Mode, Model, Policy, Tier},
    rule_info::RuleInfo,
    verdict::{RuleRef, Side},
};

/// What a verdict needs to know of a rule.
#[derive(Debug, Clone, Copy)]
pub(super) struct RuleFacts {
    pub(super) action: Action,
    pub(super) tier: Tier,
    pub(super) enforced: bool,
    pub(super) log: bool,
    /// [`FLAG_KEEP`] or [`FLAG_CUT`]; nothing for what is implied.
    pub(super) flows: u32,
}

/// Every rule of an image.
#[derive(Debug)]
pub(super) struct RuleTable {
    pub(super) infos: Vec<RuleInfo>,
    pub(super) facts: Vec<RuleFacts>,
    firsts: BTreeMap<(usize, Side), u32>,
    unmatched: BTreeMap<(usize, Side), u32>,
}

impl RuleTable {
    pub(super) fn new(model: &Model) -> RuleTable {
        let default = RuleInfo::default_action(model.settings.default_action.verdict());
        let facts = RuleFacts { action: default.action, tier: Tier::Baseline, enforced: true, log: false, flows: 0 };
        let mut table =
            RuleTable { infos: vec![default], facts: vec![facts], firsts: BTreeMap::new(), unmatched: BTreeMap::new() };
        for (index, policy) in model.policies.iter().enumerate() {
            for side in [Side::Ingress, Side::Egress] {
                table.add(index, policy, side);
            }
        }
        table
    }

    /// How many rules there will be, without making them.
    pub(super) fn count(model: &Model) -> usize {
        let of = |policy: &Policy, side| {
            policy.rules(side).map_or(0, |rules| rules.len() + usize::from(policy.tier == Tier::Application))
        };
        1 + model.policies.iter().map(|policy| of(policy, Side::Ingress) + of(policy, Side::Egress)).sum::<usize>()
    }

    /// The index of a policy's first rule in a direction.
    pub(super) fn first(&self, policy: usize, side: Side) -> u32 {
        self.firsts.get(&(policy, side)).copied().unwrap_or(NONE)
    }

    /// The index of "no rule of this policy matched", if it is of the application tier.
    pub(super) fn unmatched(&self, policy: usize, side: Side) -> Option<u32> {
        self.unmatched.get(&(policy, side)).copied()
    }

    /// How many policies deny what none of their rules matches, counted for each direction.
    pub(super) fn unmatched_count(&self) -> usize {
        self.unmatched.len()
    }

    fn add(&mut self, index: usize, policy: &Policy, side: Side) {
        let Some(rules) = policy.rules(side) else { return };
        self.firsts.insert((index, side), number(self.infos.len()));
        let enforced = policy.mode == Mode::Enforce;
        let flows = match policy.existing_flows {
            ExistingFlows::Keep => FLAG_KEEP,
            ExistingFlows::Cut => FLAG_CUT,
        };
        let info = |reference, rule: Option<&String>, action| RuleInfo {
            reference,
            side: Some(side),
            tier: Some(policy.tier),
            policy: Some(policy.name.clone()),
            rule: rule.cloned(),
            action,
        };
        let position = number(index);
        for (place, rule) in (0u32..).zip(rules) {
            self.infos.push(info(RuleRef::Rule { policy: position, rule: place }, Some(&rule.name), rule.action));
            self.facts.push(RuleFacts { action: rule.action, tier: policy.tier, enforced, log: rule.log, flows });
        }
        if policy.tier == Tier::Application {
            self.unmatched.insert((index, side), number(self.infos.len()));
            self.infos.push(info(RuleRef::Unmatched { policy: position }, None, Action::Deny));
            self.facts.push(RuleFacts { action: Action::Deny, tier: policy.tier, enforced, log: false, flows: 0 });
        }
    }
}
