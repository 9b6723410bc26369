//! A policy with its names resolved.

use super::services::{self, Targets};
use super::{sorted, target};
use crate::diagnostic::Findings;
use crate::document::{Document, PolicySpec, RuleSpec};
use crate::model::{Peer, Policy, Rule, Scope, Segment};
use crate::verdict::Side;

/// `None` if the policy applies to nothing that exists; then, and for all else, there are findings.
pub(super) fn resolve(
    document: &Document,
    spec: &PolicySpec,
    segments: &[Segment],
    findings: &mut Findings,
) -> Option<Policy> {
    let applies_to = target::resolve(document, &spec.applies_to, segments).map_err(|finding| findings.push(*finding));
    // Services by name cannot be judged when it is unknown whom the policy applies to.
    let scope = applies_to.as_ref().unwrap_or(&Scope::Any);
    let mut rules = |side: Side, written: &Option<Vec<RuleSpec>>| -> Option<Vec<Rule>> {
        let written = written.as_ref()?;
        let judged = side == Side::Egress || applies_to.is_ok();
        Some(
            written
                .iter()
                .filter_map(|spec| rule(document, spec, side, judged.then_some(scope), segments, findings))
                .collect(),
        )
    };
    let ingress = rules(Side::Ingress, &spec.ingress);
    let egress = rules(Side::Egress, &spec.egress);
    Some(Policy {
        name: document.name.clone(),
        tier: spec.tier,
        order: spec.order,
        applies_to: applies_to.ok()?,
        mode: spec.mode,
        existing_flows: spec.existing_flows,
        ingress,
        egress,
        owner: spec.owner.clone(),
        review_by: spec.review_by,
        expires: spec.expires,
    })
}

/// One rule. `applies_to` is `None` when the policy's own target could not be resolved.
fn rule(
    document: &Document,
    spec: &RuleSpec,
    side: Side,
    applies_to: Option<&Scope>,
    segments: &[Segment],
    findings: &mut Findings,
) -> Option<Rule> {
    let mut peers = Vec::with_capacity(spec.peers.len());
    for peer in &spec.peers {
        match target::resolve(document, &peer.target, segments) {
            Ok(scope) => peers.push(Peer { scope, except: sorted(&peer.except) }),
            Err(finding) => findings.push(*finding),
        }
    }
    let applies_to = applies_to?;
    if peers.len() < spec.peers.len() {
        return None;
    }
    let scopes = match side {
        Side::Ingress => vec![applies_to],
        Side::Egress => peers.iter().map(|peer| &peer.scope).collect(),
    };
    let services = services::resolve(document, spec, &Targets { side, scopes, segments }, findings);
    Some(Rule {
        name: spec.name.value.clone(),
        action: spec.action,
        peers,
        services,
        log: spec.log,
        limits: spec.limits,
    })
}
