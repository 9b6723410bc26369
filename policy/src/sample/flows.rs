//! Random packets, near the edges of what a model speaks about.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::documents::WORDS;
use super::{SplitMix64, random_address};
use crate::model::{Model, Ports, Rule, Scope, protocol};
use crate::packet::Flow;
use crate::verdict::Side;

/// Chooses packets for one model: addresses in, at the edge of and just outside its networks, or of members; ports at
/// the edges of its ranges. Half of the packets are aimed at one rule.
#[derive(Clone, Debug)]
pub struct FlowSampler {
    addresses: Vec<IpAddr>,
    ports: Vec<Ports>,
    aims: Vec<Aim>,
}

/// Addresses and ports that one rule speaks about; empty for those that it leaves open.
#[derive(Clone, Debug)]
struct Aim {
    side: Side,
    near: Vec<IpAddr>,
    far: Vec<IpAddr>,
    ports: Vec<Ports>,
}

/// One packet for a model; a [`FlowSampler`] makes many faster.
pub fn random_flow(model: &Model, members: &[IpAddr], seed: u64) -> Flow {
    let mut random = SplitMix64::new(seed);
    FlowSampler::new(model, members).flow(&mut random)
}

impl FlowSampler {
    /// Collects what is worth trying.
    pub fn new(model: &Model, members: &[IpAddr]) -> FlowSampler {
        let sides = [Side::Ingress, Side::Egress];
        let sections = || model.policies.iter().flat_map(|policy| sides.map(|side| (policy, side)));
        let rules = || sections().flat_map(|(policy, side)| policy.rules(side).into_iter().flatten());
        let networks = model.segments.iter().flat_map(|segment| segment.addresses.iter().copied());
        let mut addresses: Vec<IpAddr> =
            networks.chain(rules().flat_map(networks_of)).flat_map(edges).chain(members.iter().copied()).collect();
        addresses.sort_unstable();
        addresses.dedup();
        let ports = rules().flat_map(|rule| &rule.services).map(|service| service.ports).collect();
        let aims = sections()
            .flat_map(|(policy, side)| policy.rules(side).into_iter().flatten().map(move |rule| (policy, side, rule)))
            .map(|(policy, side, rule)| Aim {
                side,
                near: edges_of(model, members, &policy.applies_to),
                far: rule.peers.iter().flat_map(|peer| edges_of(model, members, &peer.scope)).collect(),
                ports: rule.services.iter().map(|service| service.ports).collect(),
            })
            .collect();
        FlowSampler { addresses, ports, aims }
    }

    /// The next packet.
    pub fn flow(&self, random: &mut SplitMix64) -> Flow {
        let open = Aim { side: Side::Ingress, near: Vec::new(), far: Vec::new(), ports: Vec::new() };
        let aim = if self.aims.is_empty() || random.once_in(2) { &open } else { random.pick(&self.aims) };
        let near = self.address(random, &aim.near, None);
        let far = self.address(random, &aim.far, Some(near.is_ipv4()));
        let (src, dst) = match aim.side {
            Side::Ingress => (far, near),
            Side::Egress => (near, far),
        };
        let (protocol, dst_port) = self.service(random, &aim.ports);
        let src_port = if protocol::has_ports(protocol) { random.word() } else { 0 };
        Flow { src, dst, protocol, src_port, dst_port }
    }

    /// One of these, of the family if one is asked for, or one from anywhere.
    fn address(&self, random: &mut SplitMix64, aimed: &[IpAddr], v4: Option<bool>) -> IpAddr {
        for pool in [aimed, &self.addresses] {
            let fits: Vec<&IpAddr> =
                pool.iter().filter(|address| v4.is_none_or(|v4| address.is_ipv4() == v4)).collect();
            if !fits.is_empty() && !random.once_in(8) {
                return **random.pick(&fits);
            }
        }
        loop {
            let address = random_address(random);
            if v4.is_none_or(|v4| address.is_ipv4() == v4) {
                return address;
            }
        }
    }

    fn service(&self, random: &mut SplitMix64, aimed: &[Ports]) -> (u8, u16) {
        let ports = if aimed.is_empty() { &self.ports } else { aimed };
        let (number, word) = if ports.is_empty() || random.once_in(4) {
            let protocols = [protocol::TCP, protocol::UDP, protocol::SCTP, protocol::ICMP, protocol::ICMPV6];
            let number = if random.once_in(4) { random.byte() } else { *random.pick(&protocols) };
            (number, if random.once_in(4) { random.word() } else { *random.pick(&WORDS) })
        } else {
            let Ports { protocol, first, last } = *random.pick(ports);
            let inside = first.saturating_add(u16::try_from(random.below(usize::from(last - first) + 1)).unwrap_or(0));
            (protocol, *random.pick(&[first, last, first.wrapping_sub(1), last.wrapping_add(1), inside, inside]))
        };
        let words = protocol::has_ports(number) || protocol::has_icmp_types(number);
        (number, if words { word } else { 0 })
    }
}

fn edges_of(model: &Model, members: &[IpAddr], scope: &Scope) -> Vec<IpAddr> {
    match scope {
        Scope::Any => Vec::new(),
        Scope::Members => members.to_vec(),
        Scope::Cidr(network) => edges(*network).to_vec(),
        Scope::Segments(segments) => {
            let networks = segments.iter().flat_map(|&index| &model.segments[index].addresses);
            networks.flat_map(|network| edges(*network)).collect()
        }
    }
}

fn networks_of(rule: &Rule) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for peer in &rule.peers {
        networks.extend(&peer.except);
        if let Scope::Cidr(network) = peer.scope {
            networks.push(network);
        }
    }
    networks
}

/// First and last address of a network, their neighbours outside, and one inside.
fn edges(network: IpNet) -> [IpAddr; 5] {
    match (network.network(), network.broadcast()) {
        (IpAddr::V4(first), IpAddr::V4(last)) => {
            let (first, last) = (u32::from(first), u32::from(last));
            let inside = first + (last - first) / 3;
            [first, last, first.wrapping_sub(1), last.wrapping_add(1), inside].map(|bits| Ipv4Addr::from(bits).into())
        }
        (first, last) => {
            let (first, last) = (bits_v6(first), bits_v6(last));
            let inside = first + (last - first) / 3;
            [first, last, first.wrapping_sub(1), last.wrapping_add(1), inside].map(|bits| Ipv6Addr::from(bits).into())
        }
    }
}

fn bits_v6(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}
