//! Why a packet passes or not: every step of the search, and what the image says.

mod display;
mod words;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::evaluate::{Policies, Question, Skip, Step as Seen, evaluate};
use crate::image::Image;
use crate::model::{Action, Mode, Model, Tier};
use crate::packet::Flow;
use crate::verdict::{Decision, Side, Verdict};

/// The verdict on a packet and the way to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The packet.
    pub flow: Flow,
    /// The decision of the reference evaluator.
    pub decision: Decision,
    /// Ingress at the destination, then egress at the source, as enforced.
    pub directions: Vec<Direction>,
    /// The same with the policies in observe mode enforced too; empty unless that would deny the packet.
    pub trial: Vec<Direction>,
    /// The decision of the compiled image.
    pub image: Decision,
    /// Whether both decide alike. If not, that is a bug: what is enforced is the image.
    pub agree: bool,
}

/// The search of one direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Direction {
    /// Which.
    pub side: Side,
    /// The protected address.
    pub address: IpAddr,
    /// What this direction says.
    pub verdict: Verdict,
    /// What decided: `policy/side/rule`, or which default.
    pub rule: String,
    /// What was looked at, in order.
    pub steps: Vec<Step>,
    /// Policies that were asked for nothing, because they apply to other addresses or not in this direction.
    pub elsewhere: usize,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// Tier of the policy.
    pub tier: Tier,
    /// The policy.
    pub policy: String,
    /// Its mode.
    pub mode: Mode,
    /// The rule; `None` if the policy as a whole was skipped.
    pub rule: Option<String>,
    /// What the rule says.
    pub action: Option<Action>,
    /// Whether the rule matches.
    pub matched: bool,
    /// Why, or why not.
    pub why: String,
}

/// Explains the decision on a packet. `image` is what the model was compiled to for these members.
pub fn explain(model: &Model, members: &[IpAddr], image: &Image, flow: &Flow) -> Explanation {
    let question = Question { model, members, flow };
    let decision = evaluate(model, members, flow);
    let both = |policies: Policies| {
        vec![direction(&question, Side::Ingress, policies), direction(&question, Side::Egress, policies)]
    };
    let trial = if decision.observe { both(Policies::All) } else { Vec::new() };
    let compiled = image.classify(flow);
    Explanation {
        flow: *flow,
        decision,
        directions: both(Policies::Enforced),
        trial,
        image: compiled,
        agree: compiled == decision,
    }
}

fn direction(question: &Question<'_>, side: Side, policies: Policies) -> Direction {
    let mut steps = Vec::new();
    let mut elsewhere = 0;
    let outcome = question.search(side, policies, &mut |seen| match step(question, side, seen) {
        Some(step) => steps.push(step),
        None => elsewhere += 1,
    });
    Direction {
        side,
        address: question.near(side),
        verdict: outcome.verdict,
        rule: question.model.describe(outcome.rule, side),
        steps,
        elsewhere,
    }
}

/// In words; `None` for a policy that has nothing to do with the packet.
fn step(question: &Question<'_>, side: Side, seen: Seen<'_>) -> Option<Step> {
    let (policy, rule, matched, why) = match seen {
        Seen::Skipped(_, Skip::Elsewhere) => return None,
        Seen::Skipped(policy, Skip::Observes) => (policy, None, false, "it only observes".to_owned()),
        Seen::Skipped(policy, Skip::Passed) => (policy, None, false, "a rule of this tier said pass".to_owned()),
        Seen::Missed(policy, rule, miss) => (policy, Some(rule), false, words::miss(question, side, rule, miss)),
        Seen::Matched(policy, rule) => (policy, Some(rule), true, words::matched(question, side, rule)),
    };
    Some(Step {
        tier: policy.tier,
        policy: policy.name.clone(),
        mode: policy.mode,
        rule: rule.map(|rule| rule.name.clone()),
        action: rule.map(|rule| rule.action),
        matched,
        why,
    })
}

#[cfg(test)]
mod tests;
