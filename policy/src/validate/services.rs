//! What the services of a rule stand for.
//!
//! A service by name belongs to the segment of the *destination*: at ingress a segment that the policy applies to, at
//! egress a segment of `to`.

use crate::diagnostic::{Diagnostic, Findings, nearest};
use crate::document::{Document, IcmpType, Located, RuleSpec, ServiceRef};
use crate::model::{Scope, Segment, ServiceMatch, icmp};
use crate::verdict::Side;

/// Where services by name are looked up for one rule.
pub(super) struct Targets<'a> {
    pub(super) side: Side,
    /// The scopes that destinations of the rule can be in.
    pub(super) scopes: Vec<&'a Scope>,
    pub(super) segments: &'a [Segment],
}

impl Targets<'_> {
    fn indices(&self) -> Vec<usize> {
        let mut indices: Vec<usize> = self.scopes.iter().flat_map(|scope| segments_of(scope)).copied().collect();
        indices.sort_unstable();
        indices.dedup();
        indices
    }
}

fn segments_of(scope: &Scope) -> &[usize] {
    match scope {
        Scope::Segments(indices) => indices,
        Scope::Any | Scope::Members | Scope::Cidr(_) => &[],
    }
}

/// Everything that `services` and `icmp` of a rule stand for.
pub(super) fn resolve(
    document: &Document,
    rule: &RuleSpec,
    targets: &Targets<'_>,
    findings: &mut Findings,
) -> Vec<ServiceMatch> {
    let mut matches = Vec::new();
    for service in &rule.services {
        match &service.value {
            ServiceRef::Inline(ports) => matches.push(ServiceMatch { target: None, ports: *ports }),
            ServiceRef::Named(name) => {
                let found = named(name, targets);
                if found.is_empty() {
                    findings.push(unknown_service(document, service, name, targets));
                }
                matches.extend(found);
            }
        }
    }
    for message in &rule.icmp {
        let ports = match &message.value {
            IcmpType::Named(name) => icmp::named(name),
            IcmpType::Number(ports) => vec![*ports],
        };
        matches.extend(ports.into_iter().map(|ports| ServiceMatch { target: None, ports }));
    }
    check_peers_offer(document, rule, targets, &matches, findings);
    matches
}

fn named(name: &str, targets: &Targets<'_>) -> Vec<ServiceMatch> {
    let indices = targets.indices().into_iter();
    indices
        .filter_map(|index| {
            let service = targets.segments[index].service(name)?;
            Some(ServiceMatch { target: Some(index), ports: service.ports })
        })
        .collect()
}

fn unknown_service(
    document: &Document,
    service: &Located<ServiceRef>,
    name: &str,
    targets: &Targets<'_>,
) -> Diagnostic {
    let indices = targets.indices();
    if indices.is_empty() {
        let (whose, of) = match targets.side {
            Side::Ingress => ("the segments that the policy applies to", "it applies to no segment of yours"),
            Side::Egress => ("the segments of `to`", "`to` names no segment of yours"),
        };
        let message = format!("service \"{name}\" cannot be looked up: it belongs to {whose}, and {of}");
        return document.finding(service.place, message).help("write it out: {protocol: tcp, port: 443}");
    }
    let offered: Vec<&str> = indices
        .iter()
        .flat_map(|&index| &targets.segments[index].services)
        .map(|service| service.name.as_str())
        .collect();
    let names: Vec<&str> = indices.iter().map(|&index| targets.segments[index].name.as_str()).collect();
    let message = match names.as_slice() {
        [one] => format!("segment \"{one}\" has no service \"{name}\""),
        several => format!("none of the segments {} has a service \"{name}\"", several.join(", ")),
    };
    let help = match (nearest(name, offered.iter().copied()), offered.is_empty()) {
        (Some(near), _) => format!("did you mean \"{near}\"?"),
        (None, true) => "add it to the segment's `services`, or write it out: {protocol: tcp, port: 443}".to_owned(),
        (None, false) => format!("there are: {}", few(&offered)),
    };
    document.finding(service.place, message).help(help)
}

/// How many names a help message lists.
const NAMES_SHOWN_MAX: usize = 8;

fn few(names: &[&str]) -> String {
    let mut names = names.to_vec();
    names.sort_unstable();
    names.dedup();
    let more = if names.len() > NAMES_SHOWN_MAX { ", …" } else { "" };
    names.truncate(NAMES_SHOWN_MAX);
    format!("{}{more}", names.join(", "))
}

/// At egress, a peer that offers none of the services could never match: refused instead of silently doing nothing.
fn check_peers_offer(
    document: &Document,
    rule: &RuleSpec,
    targets: &Targets<'_>,
    matches: &[ServiceMatch],
    findings: &mut Findings,
) {
    let only_named = !matches.is_empty() && matches.iter().all(|service| service.target.is_some());
    if targets.side != Side::Egress || !only_named {
        return;
    }
    for (peer, scope) in rule.peers.iter().zip(&targets.scopes) {
        let offers = |index: &usize| matches.iter().any(|service| service.target == Some(*index));
        if !segments_of(scope).iter().any(offers) {
            let message = format!("this peer offers none of the services that rule \"{}\" names", rule.name.value);
            let help = "give it a rule of its own with protocol and port written out";
            findings.push(document.finding(peer.target.place, message).help(help));
        }
    }
}
