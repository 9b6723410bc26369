//! Two members of a cluster, and the guard of the first.

use std::net::IpAddr;

use identity::{Fingerprint, MemberAddress, MemberRecord, NodeId, Role};
use policy::{Channel, Guard, LocalInterface, catalogue};

pub(crate) const HERE_V4: &str = "10.77.0.1";
pub(crate) const THERE_V4: &str = "10.77.0.2";
pub(crate) const HERE_V6: &str = "fd77::1";
pub(crate) const THERE_V6: &str = "fd77::2";
pub(crate) const CLUSTER_PORT: u16 = 7400;

fn node(number: u64) -> NodeId {
    NodeId::new(number).unwrap()
}

pub(crate) fn member(number: u64, addresses: &[&str]) -> MemberRecord {
    let addresses: Vec<IpAddr> = addresses.iter().map(|a| a.parse().unwrap()).collect();
    MemberRecord {
        node: node(number),
        name: format!("lb{number}"),
        endpoint: (addresses[0], CLUSTER_PORT).into(),
        api: None,
        fingerprint: Fingerprint([7; 32]),
        addresses: addresses.into_iter().map(|addr| MemberAddress { role: Role::Cluster, addr }).collect(),
        witness: false,
    }
}

/// VRRP and HAProxy's peers section between this end and the other.
pub(crate) fn guard_of(interfaces: &[LocalInterface], members: &[MemberRecord]) -> Guard {
    let on_cluster = |name: &str| Channel { interface: Role::Cluster, ..catalogue(name).unwrap() };
    let mut peers = on_cluster("haproxy-peers");
    for wire in &mut peers.wires {
        wire.ports = Some(policy::channel::PortSpan::one(10_000));
    }
    policy::guard(node(1), interfaces, &[on_cluster("vrrp"), peers], members, CLUSTER_PORT).unwrap()
}

/// The first member's interface on the cluster's network, where there is no real one.
pub(crate) fn interface() -> LocalInterface {
    let addresses = [format!("{HERE_V4}/24"), format!("{HERE_V6}/64")].iter().map(|net| net.parse().unwrap()).collect();
    LocalInterface { name: "eth0".to_owned(), ifindex: 7, role: Role::Cluster, addresses }
}
