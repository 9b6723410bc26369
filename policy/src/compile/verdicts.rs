//! From lists of rules to verdicts by port: the first match, once for every port group and every port class that the rules name.

use super::{
    intern::{Interner, number},
    pairs::Pairs,
    ports::{PortAtoms, PortClasses},
    rules::{RuleFacts, RuleTable},
};
use crate::{
    image::{
        FLAG_ALLOW, FLAG_DECIDED, FLAG_LIMIT, FLAG_LOG, FLAG_TRIAL_ALLOW, FLAG_TRIAL_DECIDED, FLAG_TRIAL_LIMIT,
        FLAG_TRIAL_LOG, LIMIT_NONE, NONE, RULE_DEFAULT, TableId, limit_word,
    },
    model::Action,
};

/// Verdicts of a pair by port: those of the groups, and (class, verdict) where a class has another one than its group.
#[derive(Debug, Default)]
pub(super) struct Function {
    pub(super) groups: Vec<u32>,
    pub(super) exceptions: Vec<(u32, u32)>,
}

/// Evaluates pairs and numbers verdicts.
pub(super) struct Painter<'a> {
    rules: &'a RuleTable,
    ports: &'a PortClasses,
    verdicts: Interner,
    /// Port units of the pair at hand: the groups, then the classes that its rules name.
    enforced: Vec<Outcome>,
    trial: Vec<Outcome>,
    classes: Vec<u32>,
    /// Where each class is among the units; only those of `classes` mean anything.
    unit_of: Vec<u32>,
    /// Which groups the rule at hand names, by the number of the rule that marked them last.
    marked: Vec<u64>,
    mark: u64,
    function: Function,
}

/// How far the search for one unit has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Outcome {
    rule: u32,
    /// The tier that a `pass` left, plus one.
    passed: u8,
}

const OPEN: Outcome = Outcome { rule: NONE, passed: 0 };

impl<'a> Painter<'a> {
    pub(super) fn new(rules: &'a RuleTable, ports: &'a PortClasses) -> Painter<'a> {
        let mut painter = Painter {
            rules,
            ports,
            verdicts: Interner::default(),
            enforced: Vec::new(),
            trial: Vec::new(),
            classes: Vec::new(),
            unit_of: vec![0; ports.classes],
            marked: vec![0; ports.groups],
            mark: 0,
            function: Function::default(),
        };
        painter.verdict(RULE_DEFAULT, RULE_DEFAULT);
        painter
    }

    /// The verdicts of a pair.
    pub(super) fn paint(&mut self, pairs: &Pairs, pair: u32) -> &Function {
        self.begin(pairs, pair);
        for (rule, set) in pairs.rules(pair) {
            self.apply(rule, set);
        }
        let fallbacks = pairs.fallbacks(pair);
        self.function.groups.clear();
        for unit in 0..self.ports.groups {
            let verdict = self.unit_verdict(unit, fallbacks);
            self.function.groups.push(verdict);
        }
        self.function.exceptions.clear();
        for position in 0..self.classes.len() {
            let class = self.classes[position];
            let verdict = self.unit_verdict(self.ports.groups + position, fallbacks);
            if verdict != self.function.groups[self.ports.group_of[class as usize] as usize] {
                self.function.exceptions.push((class, verdict));
            }
        }
        &self.function
    }

    /// How many verdicts there are.
    pub(super) fn len(&self) -> usize {
        self.verdicts.len()
    }

    /// The verdicts as the table of the image.
    pub(super) fn words(&self) -> Vec<u32> {
        self.verdicts.lists().items().to_vec()
    }

    /// Opens the groups and the classes that the pair's rules name.
    fn begin(&mut self, pairs: &Pairs, pair: u32) {
        self.classes.clear();
        for (_, set) in pairs.rules(pair) {
            self.classes.extend(self.ports.classes_of.get(set));
        }
        self.classes.sort_unstable();
        self.classes.dedup();
        for (unit, &class) in (number(self.ports.groups)..).zip(&self.classes) {
            self.unit_of[class as usize] = unit;
        }
        let units = self.ports.groups + self.classes.len();
        for outcomes in [&mut self.enforced, &mut self.trial] {
            outcomes.clear();
            outcomes.resize(units, OPEN);
        }
    }

    fn apply(&mut self, rule: u32, set: u32) {
        let ports = self.ports;
        if set == PortAtoms::ANY_SET {
            (0..self.enforced.len()).for_each(|unit| self.reach(unit, rule));
            return;
        }
        for &class in ports.classes_of.get(set) {
            self.reach(self.unit_of[class as usize] as usize, rule);
        }
        let groups = ports.groups_of.get(set);
        if groups.is_empty() {
            return;
        }
        self.mark += 1;
        for &group in groups {
            self.marked[group as usize] = self.mark;
            self.reach(group as usize, rule);
        }
        for position in 0..self.classes.len() {
            let group = ports.group_of[self.classes[position] as usize];
            if self.marked[group as usize] == self.mark {
                self.reach(ports.groups + position, rule);
            }
        }
    }

    /// A rule matches a unit, in both searches as far as they ask it.
    fn reach(&mut self, unit: usize, rule: u32) {
        let facts = &self.rules.facts[rule as usize];
        let tier = facts.tier as u8 + 1;
        let step = |outcome: &mut Outcome| {
            if outcome.rule == NONE && outcome.passed != tier {
                match facts.action {
                    Action::Pass => outcome.passed = tier,
                    Action::Allow | Action::Deny => outcome.rule = rule,
                }
            }
        };
        if facts.enforced {
            step(&mut self.enforced[unit]);
        }
        step(&mut self.trial[unit]);
    }

    fn unit_verdict(&mut self, unit: usize, fallbacks: [u32; 2]) -> u32 {
        let or = |outcome: Outcome, fallback| if outcome.rule == NONE { fallback } else { outcome.rule };
        let (enforced, trial) = (or(self.enforced[unit], fallbacks[0]), or(self.trial[unit], fallbacks[1]));
        self.verdict(enforced, trial)
    }

    /// The place of the verdict of two deciding rules; [`NONE`] where none decides.
    fn verdict(&mut self, enforced: u32, trial: u32) -> u32 {
        let facts = |rule: u32| (rule != NONE).then(|| self.rules.facts[rule as usize]);
        let flag = |holds: bool, flag: u32| if holds { flag } else { 0 };
        let of = |facts: RuleFacts, [decided, log, allow, limit]: [u32; 4]| {
            decided
                | flag(facts.log, log)
                | flag(facts.action == Action::Allow, allow)
                | flag(facts.limit != LIMIT_NONE, limit)
        };
        let of_enforced = facts(enforced)
            .map_or(0, |facts| facts.flows | of(facts, [FLAG_DECIDED, FLAG_LOG, FLAG_ALLOW, FLAG_LIMIT]));
        let of_trial = facts(trial)
            .map_or(0, |facts| of(facts, [FLAG_TRIAL_DECIDED, FLAG_TRIAL_LOG, FLAG_TRIAL_ALLOW, FLAG_TRIAL_LIMIT]));
        let limit = |rule: u32| facts(rule).map_or(LIMIT_NONE, |facts| facts.limit);
        let rule = |rule: u32| if rule == NONE { RULE_DEFAULT } else { rule };
        let limits = limit_word(limit(enforced), limit(trial));
        TableId::Verdicts.place(self.verdicts.id(&[of_enforced | of_trial, rule(enforced), limits, rule(trial)]))
    }
}
