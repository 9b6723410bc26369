//! Addresses and networks.

use std::net::IpAddr;

use ipnet::IpNet;

use super::Decoder;
use crate::diagnostic::shorten;
use crate::document::Located;
use crate::document::node::Node;

impl Decoder<'_> {
    /// A network without host bits; an address alone is the network of only it.
    pub(super) fn network(&mut self, node: &Node) -> Option<Located<IpNet>> {
        let written = self.text(node, "a network")?;
        let network = match written.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => match written.parse::<IpNet>() {
                Ok(network) => network,
                Err(_) => {
                    let message = format!("\"{}\" is not an address or a network", shorten(written));
                    self.report(node.place, message, network_help(written));
                    return None;
                }
            },
        };
        let bare = network.trunc();
        if bare != network {
            let message = format!("{network} has bits set after the first {}", network.prefix_len());
            let help = format!("write {bare} for the network or {} for the address", IpNet::from(network.addr()));
            self.report(node.place, message, help);
            return None;
        }
        Some(Located { value: network, place: node.place })
    }

    /// Networks.
    pub(super) fn networks(&mut self, node: &Node, what: &str, most: usize) -> Option<Vec<Located<IpNet>>> {
        let items = self.list(node, what, most)?;
        let networks: Vec<Located<IpNet>> = items.iter().filter_map(|item| self.network(item)).collect();
        (networks.len() == items.len()).then_some(networks)
    }
}

/// What could be meant by something that is no network.
fn network_help(written: &str) -> String {
    let (address, length) = written.split_once('/').unwrap_or((written, ""));
    match (address.parse::<IpAddr>(), length.parse::<u32>()) {
        (Ok(IpAddr::V4(_)), Ok(length)) if length > 32 => "an IPv4 network has at most /32".to_owned(),
        (Ok(IpAddr::V6(_)), Ok(length)) if length > 128 => "an IPv6 network has at most /128".to_owned(),
        _ => "for example 192.0.2.0/24, 192.0.2.1, \"2001:db8::/32\"; a segment is named with `segment`".to_owned(),
    }
}
