//! Walks of the finished trie against the innermost network by search.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

use super::*;
use crate::{
    image::Tables,
    sample::{SplitMix64, random_network},
};

fn tables(v4: &[Node], v6: &[Node]) -> Tables {
    let mut trie = Trie::new(1 << 20);
    let (root4, root6) = (trie.root4(v4, 0), trie.root6(v6, 0));
    Tables { root4, root6, chunks: trie.chunks, skips: trie.skips, ..Tables::default() }
}

fn by_search(nodes: &[Node], addr: u128) -> u32 {
    let inside = nodes.iter().filter(|node| contains(node, &Node { addr, len: 128, class: 0 }));
    inside.max_by_key(|node| node.len).map_or(0, |node| node.class)
}

fn address(v4: bool, addr: u128) -> (IpAddr, u128) {
    if v4 {
        let bits = u32::try_from(addr >> 96).unwrap();
        (IpAddr::V4(Ipv4Addr::from_bits(bits)), addr >> 96 << 96)
    } else {
        (IpAddr::V6(Ipv6Addr::from_bits(addr)), addr)
    }
}

fn check(tables: &Tables, v4: bool, nodes: &[Node], random: &mut SplitMix64) {
    for node in nodes {
        let host = u128::MAX.checked_shr(node.len.into()).unwrap_or(0);
        let noise = u128::from(random.next_u64()) << 64 | u128::from(random.next_u64());
        let (first, last) = (node.addr, node.addr | host);
        let step = if v4 { 1 << 96 } else { 1 };
        for addr in [first, last, first.wrapping_sub(step), last.wrapping_add(1), first | noise & host] {
            let (ip, addr) = address(v4, addr);
            assert_eq!(tables.class_of(ip), by_search(nodes, addr), "{ip}");
        }
    }
}

fn node(network: IpNet, class: u32) -> Node {
    match network {
        IpNet::V4(net) => Node { addr: u128::from(net.network().to_bits()) << 96, len: net.prefix_len(), class },
        IpNet::V6(net) => Node { addr: net.network().to_bits(), len: net.prefix_len(), class },
    }
}

#[test]
fn nested_networks_are_found_on_every_edge() {
    for seed in 0..300 {
        let mut random = SplitMix64::new(seed);
        let networks: Vec<IpNet> = (0..random.below(60)).map(|_| random_network(&mut random)).collect();
        let mut of = |v4: bool| -> Vec<Node> {
            let family = networks.iter().filter(|network| network.addr().is_ipv4() == v4);
            let mut nodes: Vec<Node> = family.map(|network| node(*network, number(random.below(6)))).collect();
            nodes.sort_by_key(|node| (node.addr, node.len));
            nodes.dedup_by_key(|node| (node.addr, node.len));
            nodes
        };
        let (v4, v6) = (of(true), of(false));
        let tables = tables(&v4, &v6);
        check(&tables, true, &v4, &mut random);
        check(&tables, false, &v6, &mut random);
    }
}

#[test]
fn hosts_scattered_over_ipv4_share_chunks_only_where_they_crowd() {
    let mut random = SplitMix64::new(3);
    let host = |class| Node { addr: u128::from(random.next_u64() >> 32) << 96, len: 32, class };
    let mut nodes: Vec<Node> = (1..=100_000).map(host).collect();
    nodes.sort_by_key(|node| node.addr);
    nodes.dedup_by_key(|node| node.addr);
    let tables = tables(&nodes, &[]);
    assert!(tables.chunks.len() / 256 < 16_000, "{} chunks", tables.chunks.len() / 256);
    assert!(tables.skips.len() / 8 <= 110_000, "{} skips", tables.skips.len() / 8);
}

#[test]
fn a_host_route_of_ipv6_costs_one_skip() {
    let tables = tables(&[], &[node("2001:db8::1/128".parse().unwrap(), 1)]);
    assert_eq!((tables.chunks.len(), tables.skips.len()), (0, 8));
}
