//! Random documents that [`validate`](crate::validate) accepts.

use std::collections::BTreeMap;

use super::{SplitMix64, limits, random_network};
use crate::document::{
    Body, Document, IcmpType, Located, PeerSpec, PolicySpec, RuleSpec, SegmentSpec, ServiceRef, ServiceSpec, Target,
};
use crate::model::{
    ANY, Action, DefaultAction, ExistingFlows, MEMBERS, Mode, Ports, SegmentRole, Selector, Settings, Tier, icmp,
    protocol,
};

const SEGMENTS_MAX: usize = 7;
const SEGMENT_NETWORKS_MAX: usize = 6;
const POLICIES_MAX: usize = 9;
const RULES_MAX: usize = 5;
const PEERS_MAX: usize = 3;
const EXCEPTIONS_MAX: usize = 3;

/// Service names that segments of samples offer, each with ports of its own choice.
const SERVICES: [&str; 3] = ["web", "sql", "ping"];
/// The label that segments of samples have.
const LABEL: &str = "app";
const LABEL_VALUES: [&str; 2] = ["shop", "bank"];

/// Segments, policies and sometimes settings: every tier and action, observe mode, selectors, overlaps, exceptions,
/// ranges, ICMP, both families.
pub fn random_documents(seed: u64) -> Vec<Document> {
    let mut random = SplitMix64::new(seed);
    let segments: Vec<Document> = (0..=random.below(SEGMENTS_MAX)).map(|number| segment(&mut random, number)).collect();
    let policies: Vec<Document> =
        (0..=random.below(POLICIES_MAX)).map(|number| policy(&mut random, number, &segments)).collect();
    let settings = random.once_in(2).then(|| {
        let default_action = *random.pick(&[DefaultAction::Allow, DefaultAction::Deny]);
        document("cluster".to_owned(), BTreeMap::new(), Body::Settings(Settings { default_action }))
    });
    let mut documents: Vec<Document> = segments.into_iter().chain(policies).chain(settings).collect();
    limits::add(&mut documents, seed);
    documents
}

fn document(name: String, labels: BTreeMap<String, String>, body: Body) -> Document {
    Document { name, labels, body, position: None }
}

fn some<T>(random: &mut SplitMix64, most: usize, mut make: impl FnMut(&mut SplitMix64) -> T) -> Vec<T> {
    (0..=random.below(most)).map(|_| make(random)).collect()
}

fn segment(random: &mut SplitMix64, number: usize) -> Document {
    let mut labels = BTreeMap::new();
    if !random.once_in(3) {
        labels.insert(LABEL.to_owned(), (*random.pick(&LABEL_VALUES)).to_owned());
    }
    let offered: Vec<&str> = SERVICES.into_iter().filter(|_| !random.once_in(3)).collect();
    let services =
        offered.into_iter().map(|name| ServiceSpec { name: located(name.to_owned()), ports: ports(random) }).collect();
    let spec = SegmentSpec {
        role: random.pick(&SegmentRole::NAMES).1,
        addresses: some(random, SEGMENT_NETWORKS_MAX - 1, |random| located(random_network(random))),
        services,
    };
    document(format!("s{number}"), labels, Body::Segment(spec))
}

fn located<T>(value: T) -> Located<T> {
    Located::nowhere(value)
}

fn policy(random: &mut SplitMix64, number: usize, segments: &[Document]) -> Document {
    let applies_to = target(random, segments);
    let sections = random.below(3);
    let ingress = (sections != 1).then(|| rules(random, segments, Some(&applies_to)));
    let egress = (sections != 0).then(|| rules(random, segments, None));
    let spec = PolicySpec {
        tier: random.pick(&Tier::NAMES).1,
        order: *random.pick(&[0, 1000, 1000, 2000]),
        applies_to: located(applies_to),
        mode: if random.once_in(4) { Mode::Observe } else { Mode::Enforce },
        existing_flows: if random.once_in(3) { ExistingFlows::Keep } else { ExistingFlows::Cut },
        ingress,
        egress,
        owner: None,
        review_by: None,
        expires: None,
    };
    document(format!("p{number}"), BTreeMap::new(), Body::Policy(Box::new(spec)))
}

/// A segment, a built-in one, or a selector that selects something.
fn target(random: &mut SplitMix64, segments: &[Document]) -> Target {
    let chosen = random.pick(segments);
    match (random.below(8), chosen.labels.get(LABEL)) {
        (0, _) => Target::Segment(ANY.to_owned()),
        (1, _) => Target::Segment(MEMBERS.to_owned()),
        (2 | 3, Some(value)) => {
            Target::Selector(Selector { labels: BTreeMap::from([(LABEL.to_owned(), value.clone())]) })
        }
        _ => Target::Segment(chosen.name.clone()),
    }
}

/// Names of the services that the segments of a target offer.
fn offers(target: &Target, segments: &[Document]) -> Vec<String> {
    let targeted = segments.iter().filter(|segment| match target {
        Target::Segment(name) => segment.name == *name,
        Target::Selector(selector) => selector.matches(&segment.labels),
        Target::Cidr(_) => false,
    });
    let mut names: Vec<String> = targeted
        .filter_map(|segment| match &segment.body {
            Body::Segment(spec) => Some(&spec.services),
            _ => None,
        })
        .flatten()
        .map(|service| service.name.value.clone())
        .collect();
    names.sort();
    names.dedup();
    names
}

/// Rules of one direction; at ingress with the target whose services they may name.
fn rules(random: &mut SplitMix64, segments: &[Document], ingress_of: Option<&Target>) -> Vec<RuleSpec> {
    (0..random.below(RULES_MAX + 1)).map(|number| rule(random, segments, ingress_of, number)).collect()
}

fn rule(random: &mut SplitMix64, segments: &[Document], ingress_of: Option<&Target>, number: usize) -> RuleSpec {
    let peers =
        if random.once_in(4) { Vec::new() } else { some(random, PEERS_MAX - 1, |random| peer(random, segments)) };
    let named = match ingress_of {
        Some(target) => offers(target, segments),
        None => offered_by_all(&peers, segments),
    };
    let mut services = Vec::new();
    let mut icmp = Vec::new();
    if !random.once_in(3) {
        services = some(random, 2, |random| {
            if named.is_empty() || random.once_in(2) {
                located(ServiceRef::Inline(ports(random)))
            } else {
                located(ServiceRef::Named(random.pick(&named).clone()))
            }
        });
    }
    if random.once_in(4) {
        icmp = some(random, 1, |random| located(IcmpType::Named(random.pick(&icmp::NAMES).0)));
    }
    RuleSpec {
        name: located(format!("r{number}")),
        action: random.pick(&Action::NAMES).1,
        peers,
        services,
        icmp,
        log: random.once_in(4),
        limits: None,
    }
}

/// A service name that every peer offers: naming another would be refused.
fn offered_by_all(peers: &[PeerSpec], segments: &[Document]) -> Vec<String> {
    let mut offered = peers.iter().map(|peer| offers(&peer.target.value, segments));
    let first = offered.next().unwrap_or_default();
    offered.fold(first, |all, next| all.into_iter().filter(|name| next.contains(name)).collect())
}

fn peer(random: &mut SplitMix64, segments: &[Document]) -> PeerSpec {
    let target = if random.once_in(3) { Target::Cidr(random_network(random)) } else { target(random, segments) };
    let except = (0..random.below(EXCEPTIONS_MAX + 1)).map(|_| located(random_network(random))).collect();
    PeerSpec { target: located(target), except }
}

/// Port words on edges that ranges share.
pub(super) const WORDS: [u16; 12] = [0, 1, 79, 80, 443, 1023, 1024, 0x0800, 0x08ff, 0x8000, u16::MAX - 1, u16::MAX];

/// Ports of every kind of protocol.
fn ports(random: &mut SplitMix64) -> Ports {
    match random.below(8) {
        0 => Ports::all(*random.pick(&[0, 47, 112, 255])),
        1 => Ports::all(*random.pick(&[protocol::TCP, protocol::UDP, protocol::ICMP, protocol::ICMPV6])),
        2 => {
            let code = random.once_in(2).then(|| *random.pick(&[0, 1, 255]));
            let (number, kind) = *random.pick(&[(protocol::ICMP, 8), (protocol::ICMP, 3), (protocol::ICMPV6, 128)]);
            icmp::message(number, kind, code)
        }
        _ => {
            let protocol = *random.pick(&[protocol::TCP, protocol::TCP, protocol::UDP, protocol::SCTP]);
            let (one, other) = (*random.pick(&WORDS), *random.pick(&WORDS));
            let other = if random.once_in(2) { one } else { other };
            Ports { protocol, first: one.min(other), last: one.max(other) }
        }
    }
}
