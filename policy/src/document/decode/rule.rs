//! Rules of a policy.

use std::collections::BTreeMap;

use super::Decoder;
use super::limits;
use super::policy::{given, target};
use super::ports::PORT_FIELDS;
use crate::document::node::{Node, Value};
use crate::document::{IcmpType, Located, PeerSpec, Place, RuleSpec, ServiceRef};
use crate::model::Action;
use crate::model::limits::{PEER_EXCEPTIONS_MAX, POLICY_RULES_MAX, RULE_PEERS_MAX, RULE_SERVICES_MAX};
use crate::verdict::Side;

const FIELDS_LATER: [&str; 1] = ["schedule"];
const PEER_FIELDS: [&str; 5] = ["segment", "selector", "cidr", "any", "except"];
const PEER_FIELDS_LATER: [&str; 6] = ["addressSet", "set", "user", "group", "country", "dns"];

/// `ingress` or `egress`.
pub(super) fn decode(decoder: &mut Decoder<'_>, node: &Node, side: Side) -> Option<Vec<RuleSpec>> {
    let items = decoder.list(node, &format!("`{side}`"), POLICY_RULES_MAX)?;
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut rules = Vec::with_capacity(items.len());
    for item in items {
        let Some(rule) = rule(decoder, item, side) else { continue };
        match names.insert(rule.name.value.clone(), rule.name.place) {
            Some(first) => decoder.twice(&format!("{side} rules"), &rule.name, first),
            None => rules.push(rule),
        }
    }
    (rules.len() == items.len()).then_some(rules)
}

fn rule(decoder: &mut Decoder<'_>, node: &Node, side: Side) -> Option<RuleSpec> {
    let (what, far) = match side {
        Side::Ingress => ("an ingress rule", "from"),
        Side::Egress => ("an egress rule", "to"),
    };
    let known = ["name", "action", far, "services", "icmp", "log", "limits"];
    let fields = decoder.fields(node, what, &known, &FIELDS_LATER)?;
    let name = decoder.required(&fields, "name").and_then(|node| decoder.name(node, "the name of a rule"));
    let action = decoder.required(&fields, "action").and_then(|node| decoder.choice(node, "`action`", &Action::NAMES));
    let peers = match fields.get(far) {
        Some(node) => peers(decoder, node, far),
        None => Some(Vec::new()),
    };
    let services = match fields.get("services") {
        Some(node) => services(decoder, node),
        None => Some(Vec::new()),
    };
    let icmp = match fields.get("icmp") {
        Some(node) => icmp(decoder, node),
        None => Some(Vec::new()),
    };
    let log = match fields.get("log") {
        Some(node) => decoder.flag(node, "`log`"),
        None => Some(false),
    };
    let limits = limits::decode(decoder, &fields, action);
    Some(RuleSpec {
        name: name?,
        action: action?,
        peers: peers?,
        services: services?,
        icmp: icmp?,
        log: log?,
        limits: given(limits)?,
    })
}

fn peers(decoder: &mut Decoder<'_>, node: &Node, far: &str) -> Option<Vec<PeerSpec>> {
    let items = decoder.some(node, &format!("`{far}`"), RULE_PEERS_MAX, "everybody")?;
    let peers: Vec<PeerSpec> = items.iter().filter_map(|item| peer(decoder, item)).collect();
    (peers.len() == items.len()).then_some(peers)
}

fn peer(decoder: &mut Decoder<'_>, node: &Node) -> Option<PeerSpec> {
    let fields = decoder.fields(node, "a peer", &PEER_FIELDS, &PEER_FIELDS_LATER)?;
    let target = target(decoder, &fields, "a peer");
    let except = match fields.get("except") {
        Some(node) => decoder.networks(node, "`except`", PEER_EXCEPTIONS_MAX),
        None => Some(Vec::new()),
    };
    Some(PeerSpec { target: target?, except: except? })
}

fn services(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Located<ServiceRef>>> {
    let items = decoder.some(node, "`services`", RULE_SERVICES_MAX, "all traffic")?;
    let services: Vec<_> = items.iter().filter_map(|item| service(decoder, item)).collect();
    (services.len() == items.len()).then_some(services)
}

/// A name, or protocol and ports.
fn service(decoder: &mut Decoder<'_>, node: &Node) -> Option<Located<ServiceRef>> {
    let value = match &node.value {
        Value::Text(_) => ServiceRef::Named(decoder.name(node, "the name of a service")?.value),
        Value::Map(_) => {
            let fields = decoder.fields(node, "a service", &PORT_FIELDS, &[])?;
            ServiceRef::Inline(decoder.ports(&fields)?)
        }
        _ => return decoder.unexpected(node, "a service", "a name or {protocol: tcp, port: 443}"),
    };
    Some(Located { value, place: node.place })
}

fn icmp(decoder: &mut Decoder<'_>, node: &Node) -> Option<Vec<Located<IcmpType>>> {
    let items = decoder.some(node, "`icmp`", RULE_SERVICES_MAX, "all traffic")?;
    let messages: Vec<_> = items.iter().filter_map(|item| decoder.icmp_type(item)).collect();
    (messages.len() == items.len()).then_some(messages)
}
