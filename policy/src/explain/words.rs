//! Why a rule matches or not, in words.

use std::net::IpAddr;

use crate::evaluate::{Miss, Question};
use crate::model::{MEMBERS, Model, Peer, Ports, Rule, Scope, ServiceMatch, protocol};
use crate::packet::Flow;
use crate::verdict::Side;

/// How many peers or services are listed.
const LISTED_MAX: usize = 6;

/// What made a rule match.
pub(super) fn matched(question: &Question<'_>, side: Side, rule: &Rule) -> String {
    let far = question.far(side);
    let peer = rule.peers.iter().find(|peer| question.is_peer(peer, far));
    let service = rule.services.iter().find(|service| question.is_for(service));
    let who = match peer {
        Some(peer) => format!("{} {far} is in {}", far_word(side), scope(question.model, &peer.scope, Some(far))),
        None => format!("{} anybody", far_word(side)),
    };
    let what = match service {
        Some(found) => self::service(question.model, found),
        None => "anything".to_owned(),
    };
    match rule.limits {
        Some(limits) => format!("{who}, for {what}; {limits}"),
        None => format!("{who}, for {what}"),
    }
}

/// What kept a rule from matching.
pub(super) fn miss(question: &Question<'_>, side: Side, rule: &Rule, miss: Miss) -> String {
    let model = question.model;
    match miss {
        Miss::Peer => {
            let far = question.far(side);
            let peers: Vec<String> =
                rule.peers.iter().take(LISTED_MAX).map(|peer| self::peer(model, peer, far)).collect();
            format!("{} {far} is not in {}", far_word(side), listed(&peers, rule.peers.len()))
        }
        Miss::Service => {
            let services: Vec<String> =
                rule.services.iter().take(LISTED_MAX).map(|service| self::service(model, service)).collect();
            format!("{} is not {}", purpose(question.flow), listed(&services, rule.services.len()))
        }
    }
}

fn far_word(side: Side) -> &'static str {
    match side {
        Side::Ingress => "from",
        Side::Egress => "to",
    }
}

fn listed(shown: &[String], all: usize) -> String {
    let more = all - shown.len();
    let text = shown.join(" or ");
    if more == 0 { text } else { format!("{text} or {more} more") }
}

/// What a packet is for: protocol and port word.
fn purpose(flow: &Flow) -> Ports {
    let word = protocol::has_ports(flow.protocol) || protocol::has_icmp_types(flow.protocol);
    if word {
        Ports { protocol: flow.protocol, first: flow.dst_port, last: flow.dst_port }
    } else {
        Ports::all(flow.protocol)
    }
}

/// A peer that does not include an address; says so when only an exception excludes it.
fn peer(model: &Model, peer: &Peer, far: IpAddr) -> String {
    let name = scope(model, &peer.scope, None);
    match peer.except.iter().find(|network| network.contains(&far)) {
        Some(network) => format!("{name} (excepts {network})"),
        None => name,
    }
}

/// A scope; of several segments only those with the address, if one is given.
fn scope(model: &Model, scope: &Scope, address: Option<IpAddr>) -> String {
    match scope {
        Scope::Any => "any".to_owned(),
        Scope::Members => format!("segment {MEMBERS}"),
        Scope::Cidr(network) => network.to_string(),
        Scope::Segments(indices) => {
            let fits = |index: &&usize| address.is_none_or(|address| model.segments[**index].contains(address));
            let names: Vec<String> =
                indices.iter().filter(fits).map(|&index| format!("segment {}", model.segments[index].name)).collect();
            listed(&names[..names.len().min(LISTED_MAX)], names.len())
        }
    }
}

fn service(model: &Model, service: &ServiceMatch) -> String {
    let Some(segment) = service.target.map(|index| &model.segments[index]) else {
        return service.ports.to_string();
    };
    let name = segment.services.iter().find(|known| known.ports == service.ports).map_or("", |known| &known.name);
    format!("service {name} of {} ({})", segment.name, service.ports)
}
