//! Random models of some hundred rules over networks that crowd each other.

use std::{collections::BTreeMap, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::{
    model::{
        Action, DefaultAction, ExistingFlows, Mode, Model, Peer, Policy, Ports, Rule, Scope, Segment, SegmentRole,
        Service, ServiceMatch, Settings, Tier, protocol,
    },
    sample::{SplitMix64, random_limits},
};

const SEGMENTS: usize = 60;
const POLICIES: usize = 60;
const RULES_MAX: usize = 12;

/// A model and the members' addresses.
pub(super) fn model(seed: u64) -> (Model, Vec<IpAddr>) {
    let mut random = SplitMix64::new(seed);
    let segments: Vec<Segment> = (0..SEGMENTS).map(|number| segment(&mut random, number)).collect();
    let mut policies: Vec<Policy> = (0..POLICIES).map(|number| policy(&mut random, number)).collect();
    policies.sort_by(|one, other| (one.tier, one.order, &one.name).cmp(&(other.tier, other.order, &other.name)));
    let default_action = *random.pick(&[DefaultAction::Allow, DefaultAction::Deny]);
    let members = (0..5).map(|_| network(&mut random).addr()).collect();
    (Model { segments, policies, settings: Settings { default_action }, ..Model::default() }, members)
}

fn network(random: &mut SplitMix64) -> IpNet {
    let [a, b, c, d, e, ..] = random.next_u64().to_le_bytes();
    if random.once_in(3) {
        let bits =
            0x2001_0db8 << 96 | u128::from(a & 7) << 80 | u128::from(b) << 64 | u128::from(c & 1) << 40 | u128::from(d);
        let length = *random.pick(&[48, 56, 60, 64, 64, 120, 127, 128, 128, 128]);
        return IpNet::V6(Ipv6Net::new_assert(bits.into(), length).trunc());
    }
    let length = *random.pick(&[12, 16, 20, 24, 24, 28, 31, 32, 32, 32]);
    IpNet::V4(Ipv4Net::new_assert([100, a & 15, if e & 1 == 0 { b } else { c & 3 }, d].into(), length).trunc())
}

fn segment(random: &mut SplitMix64, number: usize) -> Segment {
    let mut addresses: Vec<IpNet> = (0..=random.below(6)).map(|_| network(random)).collect();
    addresses.sort();
    addresses.dedup();
    Segment {
        name: format!("s{number:03}"),
        role: SegmentRole::Vip,
        labels: BTreeMap::new(),
        addresses,
        services: vec![Service { name: "web".to_owned(), ports: ports(random) }],
    }
}

fn ports(random: &mut SplitMix64) -> Ports {
    let number = *random.pick(&[protocol::TCP, protocol::TCP, protocol::UDP, protocol::ICMP, 47]);
    let one = u16::try_from(random.below(3_000)).unwrap();
    match number {
        47 => Ports::all(number),
        _ if random.once_in(6) => Ports::all(number),
        _ if random.once_in(6) => Ports { protocol: number, first: one, last: 40_000 },
        _ => Ports { protocol: number, first: one, last: one },
    }
}

fn segments(random: &mut SplitMix64) -> Scope {
    let mut chosen: Vec<usize> = (0..*random.pick(&[1, 1, 1, 3])).map(|_| random.below(SEGMENTS)).collect();
    chosen.sort_unstable();
    chosen.dedup();
    Scope::Segments(chosen)
}

fn policy(random: &mut SplitMix64, number: usize) -> Policy {
    let applies_to = if random.once_in(8) { Scope::Any } else { segments(random) };
    let sides = random.below(3);
    let ingress = (sides != 1).then(|| rules(random));
    let egress = (sides != 0).then(|| rules(random));
    Policy {
        name: format!("p{number:03}"),
        tier: random.pick(&Tier::NAMES).1,
        order: u32::try_from(random.below(3)).unwrap(),
        applies_to,
        mode: if random.once_in(5) { Mode::Observe } else { Mode::Enforce },
        existing_flows: if random.once_in(3) { ExistingFlows::Keep } else { ExistingFlows::Cut },
        ingress,
        egress,
        owner: None,
        review_by: None,
        expires: None,
    }
}

fn rules(random: &mut SplitMix64) -> Vec<Rule> {
    let count = random.below(RULES_MAX);
    let mut one = |number| {
        let services = if random.once_in(8) { 0 } else { 1 + random.below(3) };
        let action = random.pick(&Action::NAMES).1;
        Rule {
            name: format!("r{number}"),
            action,
            peers: (0..random.below(3)).map(|_| peer(random)).collect(),
            services: (0..services).map(|_| service(random)).collect(),
            log: random.once_in(4),
            limits: (action == Action::Allow && random.once_in(3)).then(|| random_limits(random)),
        }
    };
    (0..count).map(&mut one).collect()
}

fn peer(random: &mut SplitMix64) -> Peer {
    let scope = match random.below(12) {
        0 => Scope::Any,
        1 => Scope::Members,
        2..=6 => segments(random),
        _ => Scope::Cidr(network(random)),
    };
    let mut except: Vec<IpNet> = (0..random.below(4).saturating_sub(1)).map(|_| network(random)).collect();
    except.sort();
    Peer { scope, except }
}

fn service(random: &mut SplitMix64) -> ServiceMatch {
    let target = random.once_in(5).then(|| random.below(SEGMENTS));
    ServiceMatch { target, ports: ports(random) }
}
