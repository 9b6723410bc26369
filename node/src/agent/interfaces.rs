//! The node's own interfaces, as the kernel has them now.

use std::{collections::BTreeSet, io, net::IpAddr};

use identity::{MemberAddress, Role};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::{ifaddrs::getifaddrs, net::if_::if_nametoindex, sys::socket::SockaddrStorage};
use policy::LocalInterface;

use crate::config::InterfaceConfig;

/// Why the interfaces could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InterfaceError {
    /// The configuration names an interface that the machine does not have.
    #[error("there is no interface `{name}` on this machine{suggestion}; correct [[interface]] in the configuration")]
    Missing {
        /// The name in the configuration.
        name: String,
        /// Which interfaces there are.
        suggestion: String,
    },
    /// The kernel could not be asked.
    #[error("cannot read the addresses of this machine: {0}")]
    Kernel(io::Error),
}

/// Reads index and addresses of every configured interface.
///
/// # Errors
/// An interface is missing, or the kernel cannot be asked.
pub(crate) fn read(configured: &[InterfaceConfig]) -> Result<Vec<LocalInterface>, InterfaceError> {
    let all = every_address().map_err(InterfaceError::Kernel)?;
    configured.iter().map(|wanted| one(wanted, &all)).collect()
}

/// The addresses by which peers may know this node: that of its endpoint, and those of its interfaces.
///
/// Host routes (/32, /128) of interfaces are left out: that is how virtual addresses are carried, and those belong to no
/// node. The endpoint's address counts in any case: a witness has no interfaces, and its votes must not be cut either.
#[must_use]
pub(crate) fn member_addresses(endpoint: IpAddr, interfaces: &[LocalInterface]) -> Vec<MemberAddress> {
    let mut addresses = BTreeSet::from([MemberAddress { role: Role::Cluster, addr: endpoint }]);
    for interface in interfaces {
        let own = interface.addresses.iter().filter(|net| net.prefix_len() < net.max_prefix_len());
        addresses.extend(own.map(|net| MemberAddress { role: interface.role, addr: net.addr() }));
    }
    addresses.into_iter().collect()
}

fn one(wanted: &InterfaceConfig, all: &[(String, IpNet)]) -> Result<LocalInterface, InterfaceError> {
    let ifindex = if_nametoindex(wanted.name.as_str()).map_err(|_| missing(&wanted.name, all))?;
    let addresses = all.iter().filter(|(name, _)| *name == wanted.name).map(|(_, net)| *net).collect();
    Ok(LocalInterface { name: wanted.name.clone(), ifindex, role: wanted.role, addresses })
}

fn missing(name: &str, all: &[(String, IpNet)]) -> InterfaceError {
    let names: BTreeSet<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    let listed = names.into_iter().collect::<Vec<_>>().join(", ");
    let suggestion = if listed.is_empty() { String::new() } else { format!(" (those with an address: {listed})") };
    InterfaceError::Missing { name: name.to_owned(), suggestion }
}

fn every_address() -> io::Result<Vec<(String, IpNet)>> {
    let mut found = Vec::new();
    for entry in getifaddrs()? {
        let Some(addr) = entry.address.as_ref().and_then(ip) else { continue };
        let prefix = entry.netmask.as_ref().and_then(ip).map_or(0, prefix_length);
        found.push((entry.interface_name, net(addr, prefix)));
    }
    Ok(found)
}

fn ip(socket: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = socket.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| socket.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

fn prefix_length(mask: IpAddr) -> u32 {
    match mask {
        IpAddr::V4(mask) => mask.to_bits().leading_ones(),
        IpAddr::V6(mask) => mask.to_bits().leading_ones(),
    }
}

fn net(addr: IpAddr, prefix: u32) -> IpNet {
    let length = u8::try_from(prefix).expect("a prefix has at most 128 bits");
    match addr {
        IpAddr::V4(addr) => Ipv4Net::new(addr, length).expect("counted in 32 bits").into(),
        IpAddr::V6(addr) => Ipv6Net::new(addr, length).expect("counted in 128 bits").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_found_with_its_address() {
        let found = read(&[InterfaceConfig { name: "lo".to_owned(), role: Role::Cluster }]).unwrap();
        assert_eq!(found[0].ifindex, 1);
        assert!(found[0].addresses.contains(&"127.0.0.1/8".parse().unwrap()));
    }

    #[test]
    fn a_missing_interface_is_named_with_those_that_exist() {
        let error = read(&[InterfaceConfig { name: "nosuch0".to_owned(), role: Role::Vip }]).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("`nosuch0`") && text.contains("lo"), "{text}");
    }

    #[test]
    fn virtual_addresses_do_not_make_a_member() {
        let interface = LocalInterface {
            name: "eth1".to_owned(),
            ifindex: 3,
            role: Role::Vip,
            addresses: vec!["203.0.113.2/24".parse().unwrap(), "203.0.113.10/32".parse().unwrap()],
        };
        let endpoint = MemberAddress { role: Role::Cluster, addr: "10.77.0.2".parse().unwrap() };
        let own = MemberAddress { role: Role::Vip, addr: "203.0.113.2".parse().unwrap() };
        assert_eq!(member_addresses(endpoint.addr, &[interface]), vec![endpoint, own]);
    }
}
