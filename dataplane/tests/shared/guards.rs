//! Guards that are compared.

use std::{collections::BTreeSet, net::IpAddr};

use policy::{
    Direction, Flow, Guard, GuardEntry, JoinEntry, PortMatch, SpoofEntry,
    sample::{FlowSampler, SplitMix64},
};

/// Sync flows of a guard: some of what the policy is about, so that guard and policy have to agree on who is asked first.
const GUARDED: usize = 40;
pub(crate) const JOIN_PORT: u16 = 7400;

/// A guard around some flows, and the flows. Half of the addresses live elsewhere.
pub(crate) fn random_guard(sampler: &FlowSampler, random: &mut SplitMix64, ifindex: u32) -> (Guard, Vec<Flow>) {
    let flows: Vec<Flow> = (0..GUARDED).map(|_| sampler.flow(random)).collect();
    let mut guard = Guard { interfaces: (ifindex..=ifindex + 2).collect(), ..Guard::default() };
    for flow in &flows {
        let direction = if random.once_in(2) { Direction::Ingress } else { Direction::Egress };
        let (matching, number) = match flow.protocol {
            6 if random.once_in(2) => (PortMatch::Src(flow.src_port), flow.src_port),
            6 | 17 | 132 => (PortMatch::Dst(flow.dst_port), flow.dst_port),
            1 | 58 => (PortMatch::IcmpType((flow.dst_port >> 8) as u8), flow.dst_port >> 8),
            _ => (PortMatch::Any, flow.src.to_string().len().try_into().unwrap()),
        };
        // A function of the entry: no two may differ in it alone.
        let ttl = (number % 3 == 0).then_some(64);
        let Flow { protocol, src, dst, .. } = *flow;
        // Some on the devices to which tags lead, where there are such.
        let ifindex = ifindex + *random.pick(&[0, 0, 0, 0, 1, 2]);
        guard.entries.insert(GuardEntry { ifindex, direction, protocol, matching, src, dst, ttl });
        for direction in [Direction::Ingress, Direction::Egress] {
            let (own, bits) = (dst, if dst.is_ipv4() { 24 } else { 64 });
            let subnet = ipnet::IpNet::new(src, bits).unwrap().trunc();
            if subnet.contains(&own) {
                guard.joins.insert(JoinEntry { ifindex, direction, own, subnet, port: JOIN_PORT });
            }
        }
    }
    let sources: BTreeSet<IpAddr> = flows.iter().map(|flow| flow.src).collect();
    let home =
        |addr: IpAddr| SpoofEntry { addr, ifindex_allowed: ifindex + u32::from(addr.to_string().ends_with('1')) };
    guard.spoof = sources.into_iter().map(home).collect();
    (guard, flows)
}
