//! The reference evaluator: first match over the rules. Slow and obvious; whoever disagrees with it is wrong.
//!
//! What it computes is written at [`Decision`] and in the module `verdict`.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::model::{Action, ExistingFlows, Mode, Model, Peer, Policy, Rule, Scope, ServiceMatch, Tier};
use crate::packet::Flow;
use crate::verdict::{Decision, RuleRef, Side, Verdict};

/// The decision of a model on a packet. `members`: every address of every committed member.
pub fn evaluate(model: &Model, members: &[IpAddr], flow: &Flow) -> Decision {
    let question = Question { model, members, flow };
    let enforced = Sides::ask(&question, Policies::Enforced);
    let trial = Sides::ask(&question, Policies::All);
    let verdict = enforced.verdict();
    let observe = verdict == Verdict::Allow && trial.verdict() == Verdict::Deny;
    let named = if observe { &trial } else { &enforced };
    Decision {
        verdict,
        ingress: named.ingress.rule,
        egress: named.egress.rule,
        observe,
        log: named.ingress.log || named.egress.log,
        keep: verdict == Verdict::Allow && enforced.keep(),
        limited: verdict == Verdict::Allow && (named.ingress.limited || named.egress.limited),
    }
}

/// Which policies take part in a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policies {
    /// Those in force.
    Enforced,
    /// Also those that only observe, as if they were in force.
    All,
}

/// A packet and what it is judged by.
pub(crate) struct Question<'a> {
    pub(crate) model: &'a Model,
    pub(crate) members: &'a [IpAddr],
    pub(crate) flow: &'a Flow,
}

/// How the search of one direction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) verdict: Verdict,
    pub(crate) rule: RuleRef,
    pub(crate) log: bool,
    /// Whether the rule that decided has limits.
    pub(crate) limited: bool,
    /// Of the policy whose rule decided.
    pub(crate) existing_flows: Option<ExistingFlows>,
}

/// What the search looks at on its way, for [`explain`](crate::explain()).
#[derive(Clone, Copy)]
pub(crate) enum Step<'a> {
    /// A policy that does not take part.
    Skipped(&'a Policy, Skip),
    /// A rule that does not match.
    Missed(&'a Policy, &'a Rule, Miss),
    /// A rule that matches.
    Matched(&'a Policy, &'a Rule),
}

/// Why a policy does not take part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Skip {
    /// It applies to another direction or other addresses.
    Elsewhere,
    /// It only observes.
    Observes,
    /// A rule of its tier said `pass` before.
    Passed,
}

/// Why a rule does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Miss {
    /// The far address is no peer, or an exception.
    Peer,
    /// The packet is for something else.
    Service,
}

/// Outcomes of both directions.
struct Sides {
    ingress: Outcome,
    egress: Outcome,
}

impl Sides {
    fn ask(question: &Question<'_>, policies: Policies) -> Sides {
        Sides {
            ingress: question.search(Side::Ingress, policies, &mut |_| ()),
            egress: question.search(Side::Egress, policies, &mut |_| ()),
        }
    }

    fn verdict(&self) -> Verdict {
        match (self.ingress.verdict, self.egress.verdict) {
            (Verdict::Allow, Verdict::Allow) => Verdict::Allow,
            _ => Verdict::Deny,
        }
    }

    fn keep(&self) -> bool {
        let says = [self.ingress.existing_flows, self.egress.existing_flows];
        says.contains(&Some(ExistingFlows::Keep)) && !says.contains(&Some(ExistingFlows::Cut))
    }
}

impl Question<'_> {
    /// The address that rules of a direction protect.
    pub(crate) fn near(&self, side: Side) -> IpAddr {
        match side {
            Side::Ingress => self.flow.dst,
            Side::Egress => self.flow.src,
        }
    }

    /// The address that peers of a direction are compared with.
    pub(crate) fn far(&self, side: Side) -> IpAddr {
        match side {
            Side::Ingress => self.flow.src,
            Side::Egress => self.flow.dst,
        }
    }

    /// Tiers in order, policies in order, rules in order; the first allow or deny that matches.
    pub(crate) fn search<'a>(&'a self, side: Side, policies: Policies, see: &mut dyn FnMut(Step<'a>)) -> Outcome {
        let mut passed: Option<Tier> = None;
        let mut selected: Option<usize> = None;
        for (index, policy) in self.model.policies.iter().enumerate() {
            let rules = match self.rules(policy, side, policies) {
                Ok(rules) => rules,
                Err(skip) => {
                    see(Step::Skipped(policy, skip));
                    continue;
                }
            };
            if policy.tier == Tier::Application && selected.is_none() {
                selected = Some(index);
            }
            if passed == Some(policy.tier) {
                see(Step::Skipped(policy, Skip::Passed));
                continue;
            }
            for (position, rule) in rules.iter().enumerate() {
                if let Err(miss) = self.matches(rule, side) {
                    see(Step::Missed(policy, rule, miss));
                    continue;
                }
                see(Step::Matched(policy, rule));
                match rule.action {
                    Action::Allow => return decided(Verdict::Allow, index, policy, position, rule),
                    Action::Deny => return decided(Verdict::Deny, index, policy, position, rule),
                    Action::Pass => passed = Some(policy.tier),
                }
                break;
            }
        }
        self.undecided(selected)
    }

    /// The rules of a policy, if it takes part.
    fn rules<'a>(&self, policy: &'a Policy, side: Side, policies: Policies) -> Result<&'a [Rule], Skip> {
        let rules = policy.rules(side).ok_or(Skip::Elsewhere)?;
        if !self.within(&policy.applies_to, self.near(side)) {
            return Err(Skip::Elsewhere);
        }
        if policies == Policies::Enforced && policy.mode == Mode::Observe {
            return Err(Skip::Observes);
        }
        Ok(rules)
    }

    fn undecided(&self, selected: Option<usize>) -> Outcome {
        let (verdict, rule) = match selected {
            Some(policy) => (Verdict::Deny, RuleRef::Unmatched { policy: number(policy) }),
            None => (self.model.settings.default_action.verdict(), RuleRef::Default),
        };
        Outcome { verdict, rule, log: false, limited: false, existing_flows: None }
    }

    fn matches(&self, rule: &Rule, side: Side) -> Result<(), Miss> {
        let far = self.far(side);
        if !rule.peers.is_empty() && !rule.peers.iter().any(|peer| self.is_peer(peer, far)) {
            return Err(Miss::Peer);
        }
        if !rule.services.is_empty() && !rule.services.iter().any(|service| self.is_for(service)) {
            return Err(Miss::Service);
        }
        Ok(())
    }

    pub(crate) fn is_peer(&self, peer: &Peer, address: IpAddr) -> bool {
        self.within(&peer.scope, address) && !peer.except.iter().any(|network: &IpNet| network.contains(&address))
    }

    pub(crate) fn is_for(&self, service: &ServiceMatch) -> bool {
        let offered = service.target.is_none_or(|segment| self.model.segments[segment].contains(self.flow.dst));
        offered && service.ports.contains(self.flow.protocol, self.flow.dst_port)
    }

    fn within(&self, scope: &Scope, address: IpAddr) -> bool {
        match scope {
            Scope::Any => true,
            Scope::Members => self.members.contains(&address),
            Scope::Segments(segments) => segments.iter().any(|&index| self.model.segments[index].contains(address)),
            Scope::Cidr(network) => network.contains(&address),
        }
    }
}

fn decided(verdict: Verdict, index: usize, policy: &Policy, position: usize, rule: &Rule) -> Outcome {
    Outcome {
        verdict,
        rule: RuleRef::Rule { policy: number(index), rule: number(position) },
        log: rule.log,
        limited: rule.limits.is_some(),
        existing_flows: Some(policy.existing_flows),
    }
}

/// Positions in a model are bounded far below 2^32 by its limits.
fn number(position: usize) -> u32 {
    u32::try_from(position).expect("a model holds fewer than 2^32 policies and rules")
}

#[cfg(test)]
mod tests;
