//! Numbers the rules of a model, written and implied: the indices that verdicts and counters use.

use std::collections::BTreeMap;

use super::intern::number;
use crate::{
    image::{FLAG_CUT, FLAG_KEEP, LIMIT_NONE, NONE},
    model::{Action, ExistingFlows, Mode, Model, Policy, Rule, Tier},
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
    /// Index of the rule's limits; [`LIMIT_NONE`] if it has none.
    pub(super) limit: u32,
}

/// Every rule of an image.
#[derive(Debug)]
pub(super) struct RuleTable {
    pub(super) infos: Vec<RuleInfo>,
    pub(super) facts: Vec<RuleFacts>,
    firsts: BTreeMap<(usize, Side), u32>,
    unmatched: BTreeMap<(usize, Side), u32>,
    /// Rules with limits.
    limits: u32,
}

impl RuleTable {
    pub(super) fn new(model: &Model) -> RuleTable {
        let default = RuleInfo::default_action(model.settings.default_action.verdict());
        let facts = RuleFacts::implied(default.action, Tier::Baseline, true);
        let (firsts, unmatched) = (BTreeMap::new(), BTreeMap::new());
        let mut table = RuleTable { infos: vec![default], facts: vec![facts], firsts, unmatched, limits: 0 };
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

    /// How many rules have limits.
    pub(super) fn limits_count(&self) -> usize {
        self.limits as usize
    }

    fn add(&mut self, index: usize, policy: &Policy, side: Side) {
        let Some(rules) = policy.rules(side) else { return };
        self.firsts.insert((index, side), number(self.infos.len()));
        let enforced = policy.mode == Mode::Enforce;
        let flows = match policy.existing_flows {
            ExistingFlows::Keep => FLAG_KEEP,
            ExistingFlows::Cut => FLAG_CUT,
        };
        let info = |reference, rule: Option<&Rule>, action| RuleInfo {
            reference,
            side: Some(side),
            tier: Some(policy.tier),
            policy: Some(policy.name.clone()),
            rule: rule.map(|rule| rule.name.clone()),
            action,
            limits: rule.and_then(|rule| rule.limits),
        };
        let position = number(index);
        for (place, rule) in (0u32..).zip(rules) {
            self.infos.push(info(RuleRef::Rule { policy: position, rule: place }, Some(rule), rule.action));
            let limit = self.next_limit(rule);
            let (action, log) = (rule.action, rule.log);
            self.facts.push(RuleFacts { action, tier: policy.tier, enforced, log, flows, limit });
        }
        if policy.tier == Tier::Application {
            self.unmatched.insert((index, side), number(self.infos.len()));
            self.infos.push(info(RuleRef::Unmatched { policy: position }, None, Action::Deny));
            self.facts.push(RuleFacts::implied(Action::Deny, policy.tier, enforced));
        }
    }

    /// The index of a rule's limits. It is checked to have 16 bits before any verdict is made.
    fn next_limit(&mut self, rule: &Rule) -> u32 {
        if rule.limits.is_none() {
            return LIMIT_NONE;
        }
        self.limits += 1;
        self.limits - 1
    }
}

impl RuleFacts {
    /// Of a rule that nobody wrote.
    fn implied(action: Action, tier: Tier, enforced: bool) -> RuleFacts {
        RuleFacts { action, tier, enforced, log: false, flows: 0, limit: LIMIT_NONE }
    }
}
