//! From documents to trees, in canonical form: fields in one order, defaults left out.

use std::collections::BTreeMap;

use super::node::{Node, Value};
use super::policy::ORDER_DEFAULT;
use super::{
    API_VERSION, Body, Document, IcmpType, Located, PeerSpec, PolicySpec, RuleSpec, SegmentSpec, ServiceRef, Target,
};
use crate::channel::{ChannelSpec, ProtocolSpec};
use crate::model::{ExistingFlows, Mode, Ports, Rate, RuleLimits, Settings, protocol};
use crate::verdict::Side;

/// The tree of a document.
pub(super) fn document(document: &Document) -> Node {
    let metadata = Map::default()
        .text("name", &document.name)
        .maybe("labels", (!document.labels.is_empty()).then(|| labels(&document.labels)));
    let spec = match &document.body {
        Body::Segment(spec) => segment(spec),
        Body::Policy(spec) => policy(spec),
        Body::SyncChannel(spec) => channel(spec),
        Body::Settings(settings) => self::settings(settings),
    };
    Map::default()
        .text("apiVersion", API_VERSION)
        .text("kind", document.kind().as_str())
        .with("metadata", metadata.node())
        .with("spec", spec)
        .node()
}

/// A mapping under construction.
#[derive(Default)]
struct Map(Vec<(Located<String>, Node)>);

impl Map {
    fn with(mut self, key: &str, node: Node) -> Map {
        self.0.push((Located::nowhere(key.to_owned()), node));
        self
    }

    fn maybe(self, key: &str, node: Option<Node>) -> Map {
        match node {
            Some(node) => self.with(key, node),
            None => self,
        }
    }

    fn text(self, key: &str, value: &(impl ToString + ?Sized)) -> Map {
        self.with(key, text(value))
    }

    fn number(self, key: &str, value: impl Into<i64>) -> Map {
        self.with(key, number(value))
    }

    fn node(self) -> Node {
        Node::nowhere(Value::Map(self.0))
    }
}

fn text(text: &(impl ToString + ?Sized)) -> Node {
    Node::nowhere(Value::Text(text.to_string()))
}

fn number(value: impl Into<i64>) -> Node {
    Node::nowhere(Value::Number(value.into()))
}

fn list<T>(items: &[T], one: impl Fn(&T) -> Node) -> Node {
    Node::nowhere(Value::List(items.iter().map(one).collect()))
}

/// A list, unless it is empty.
fn some<T>(items: &[T], one: impl Fn(&T) -> Node) -> Option<Node> {
    (!items.is_empty()).then(|| list(items, one))
}

fn labels(labels: &BTreeMap<String, String>) -> Node {
    labels.iter().fold(Map::default(), |map, (label, value)| map.text(label, value)).node()
}

fn segment(spec: &SegmentSpec) -> Node {
    let services =
        some(&spec.services, |service| ports(Map::default().text("name", &service.name.value), &service.ports).node());
    Map::default()
        .text("role", &spec.role)
        .with("addresses", list(&spec.addresses, |network| text(&network.value)))
        .maybe("services", services)
        .node()
}

/// Adds the fields that say protocol and ports.
fn ports(map: Map, ports: &Ports) -> Map {
    let Ports { protocol: number, first, last } = *ports;
    let known = protocol::NAMES.iter().find(|(_, known)| *known == number);
    let map = match known {
        Some((name, _)) => map.text("protocol", *name),
        None => map.number("protocol", number),
    };
    if (first, last) == (0, u16::MAX) {
        return map;
    }
    if protocol::has_icmp_types(number) {
        return icmp_message(map, ports);
    }
    if first == last { map.number("port", first) } else { map.text("portRange", &format!("{first}-{last}")) }
}

fn icmp_message(map: Map, ports: &Ports) -> Map {
    let [kind, code] = ports.first.to_be_bytes();
    let map = map.number("type", kind);
    if ports.first == ports.last { map.number("code", code) } else { map }
}

fn policy(spec: &PolicySpec) -> Node {
    let rules = |side: Side, rules: &Option<Vec<RuleSpec>>| {
        rules.as_ref().map(|rules| list(rules, |written| rule(written, side)))
    };
    Map::default()
        .text("tier", &spec.tier)
        .maybe("order", (spec.order != ORDER_DEFAULT).then(|| number(spec.order)))
        .with("appliesTo", target(&spec.applies_to.value).node())
        .maybe("mode", (spec.mode == Mode::Observe).then(|| text("observe")))
        .maybe("existingFlows", (spec.existing_flows == ExistingFlows::Keep).then(|| text("keep")))
        .maybe("ingress", rules(Side::Ingress, &spec.ingress))
        .maybe("egress", rules(Side::Egress, &spec.egress))
        .maybe("owner", spec.owner.as_deref().map(text))
        .maybe("reviewBy", spec.review_by.as_ref().map(text))
        .maybe("expires", spec.expires.as_ref().map(text))
        .node()
}

fn target(target: &Target) -> Map {
    match target {
        Target::Segment(name) => Map::default().text("segment", name),
        Target::Selector(selector) => Map::default().with("selector", labels(&selector.labels)),
        Target::Cidr(network) => Map::default().text("cidr", network),
    }
}

fn rule(rule: &RuleSpec, side: Side) -> Node {
    let far = match side {
        Side::Ingress => "from",
        Side::Egress => "to",
    };
    Map::default()
        .text("name", &rule.name.value)
        .text("action", &rule.action)
        .maybe(far, some(&rule.peers, peer))
        .maybe("services", some(&rule.services, |service| self::service(&service.value)))
        .maybe("icmp", some(&rule.icmp, |message| icmp(&message.value)))
        .maybe("log", rule.log.then(|| Node::nowhere(Value::Flag(true))))
        .maybe("limits", rule.limits.as_ref().map(limits))
        .node()
}

/// Canonical JSON of a rule's limits: equal limits give equal text.
pub(crate) fn limits_json(written: &RuleLimits) -> String {
    serde_json::to_string(&limits(written)).expect("a tree with text keys is JSON")
}

fn limits(limits: &RuleLimits) -> Node {
    let of_sources = RuleLimits {
        packets: limits.source_packets,
        new_connections: limits.source_new_connections,
        ..RuleLimits::default()
    };
    rates(limits).maybe("perSource", (!of_sources.is_empty()).then(|| rates(&of_sources).node())).node()
}

/// The limits that are not of each source.
fn rates(limits: &RuleLimits) -> Map {
    Map::default().maybe("newConnections", limits.new_connections.map(rate)).maybe("packets", limits.packets.map(rate))
}

fn rate(rate: Rate) -> Node {
    if rate == Rate::steady(rate.per_second) {
        return number(rate.per_second);
    }
    Map::default().number("perSecond", rate.per_second).number("burst", rate.burst).node()
}

fn peer(peer: &PeerSpec) -> Node {
    target(&peer.target.value).maybe("except", some(&peer.except, |network| text(&network.value))).node()
}

fn service(service: &ServiceRef) -> Node {
    match service {
        ServiceRef::Named(name) => text(name),
        ServiceRef::Inline(inline) => ports(Map::default(), inline).node(),
    }
}

fn icmp(message: &IcmpType) -> Node {
    match message {
        IcmpType::Named(name) => text(*name),
        IcmpType::Number(ports) => {
            let family = if ports.protocol == protocol::ICMP { "ipv4" } else { "ipv6" };
            icmp_message(Map::default().text("family", family), ports).node()
        }
    }
}

fn channel(spec: &ChannelSpec) -> Node {
    let protocol = spec.protocol.as_ref().map(|protocol| match protocol {
        ProtocolSpec::Number(value) => number(*value),
        ProtocolSpec::Name(name) => text(name),
    });
    Map::default()
        .maybe("interface", spec.interface.as_ref().map(text))
        .maybe("protocol", protocol)
        .maybe("port", spec.port.map(number))
        .maybe("ports", spec.ports.map(number))
        .maybe("group", spec.group.as_ref().map(text))
        .maybe("groups", some(&spec.groups, text))
        .maybe("unicast", spec.unicast.map(|flag| Node::nowhere(Value::Flag(flag))))
        .maybe("ttl", spec.ttl.map(number))
        .maybe("from", some(&spec.from, text))
        .node()
}

fn settings(settings: &Settings) -> Node {
    let default_action = match settings.default_action {
        crate::model::DefaultAction::Allow => "allow",
        crate::model::DefaultAction::Deny => "deny",
    };
    Map::default().text("defaultAction", default_action).node()
}
