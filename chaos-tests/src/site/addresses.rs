//! The address plan, in one place.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The virtual IPv4 address of the shop.
pub const VIP4: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 100);
/// The virtual IPv6 address of the shop.
pub const VIP6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, 0x100);
/// The link-local virtual address that an IPv6 VRRP instance begins with.
pub(super) const VIP_LINK_LOCAL: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0x77, 0x100);
/// The virtual IPv4 address on the backend network: the way back of whatever load balancers forward to a server.
pub(super) const BACK4: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 100);
/// The virtual IPv6 address on the backend network.
pub(super) const BACK6: Ipv6Addr = Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, 0x100);
/// The port of the shop.
pub const HTTP_PORT: u16 = 80;
/// The port of Hedgerow on the cluster network.
pub(super) const PEER_PORT: u16 = 7400;
/// The port of HAProxy's peers section.
pub(super) const HAPROXY_PEERS_PORT: u16 = 10_000;
/// The port of the web servers behind.
pub const WEB_PORT: u16 = 8080;
/// The port of a load balancer's health page on the backend network.
const HEALTH_PORT: u16 = 8404;

/// The shop's IPv4 endpoint.
pub fn vip4() -> SocketAddr {
    (VIP4, HTTP_PORT).into()
}

/// The shop's IPv6 endpoint.
pub fn vip6() -> SocketAddr {
    (VIP6, HTTP_PORT).into()
}

/// The addresses of a machine with a host number that is the same on every network.
#[derive(Clone, Copy, Debug)]
pub struct Addresses {
    host: u8,
}

impl Addresses {
    /// The addresses of host number `host`.
    pub const fn of(host: u8) -> Self {
        Self { host }
    }

    /// On the cluster network, IPv4.
    pub const fn cluster4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, 0, self.host)
    }

    /// On the VIP network, IPv4.
    pub const fn vip4(self) -> Ipv4Addr {
        Ipv4Addr::new(203, 0, 113, self.host)
    }

    /// On the backend network, IPv4.
    pub const fn backend4(self) -> Ipv4Addr {
        Ipv4Addr::new(10, 88, 0, self.host)
    }

    /// On the VIP network, IPv6. The last group reads like the decimal host number.
    pub fn vip6(self) -> Ipv6Addr {
        Ipv6Addr::new(0x2001, 0xdb8, 0x77, 0, 0, 0, 0, self.group())
    }

    /// On the VIP network, in both families.
    pub fn vip(self) -> [IpAddr; 2] {
        [self.vip4().into(), self.vip6().into()]
    }

    /// On the backend network, in both families.
    pub fn backend(self) -> [IpAddr; 2] {
        [self.backend4().into(), self.backend6().into()]
    }

    /// On the backend network, IPv6.
    pub fn backend6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd88, 0, 0, 0, 0, 0, 0, self.group())
    }

    /// On the cluster network, IPv6.
    pub fn cluster6(self) -> Ipv6Addr {
        Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, self.group())
    }

    /// Where Hedgerow listens.
    pub fn peer(self) -> SocketAddr {
        (self.cluster4(), PEER_PORT).into()
    }

    /// The load balancer's own shop endpoint, beside the virtual one.
    pub fn own_shop(self) -> SocketAddr {
        (self.vip4(), HTTP_PORT).into()
    }

    /// The load balancer's health page on the backend network.
    pub fn health(self) -> SocketAddr {
        (self.backend4(), HEALTH_PORT).into()
    }

    pub(super) fn on_cluster(self) -> Vec<String> {
        self.three(self.cluster4().into(), self.cluster6())
    }

    pub(super) fn on_vip(self) -> Vec<String> {
        self.three(self.vip4().into(), self.vip6())
    }

    pub(super) fn on_backend(self) -> Vec<String> {
        self.three(self.backend4().into(), self.backend6())
    }

    fn three(self, v4: IpAddr, v6: Ipv6Addr) -> Vec<String> {
        let link_local = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, self.group());
        vec![format!("{v4}/24"), format!("{v6}/64"), format!("{link_local}/64")]
    }

    /// The decimal digits of the host number, read as hexadecimal ones.
    fn group(self) -> u16 {
        let host = u16::from(self.host);
        ((host / 100) << 8) | ((host / 10 % 10) << 4) | (host % 10)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_show_the_same_host_number() {
        assert_eq!(Addresses::of(201).vip6().to_string(), "2001:db8:77::201");
        assert_eq!(Addresses::of(12).on_backend(), ["10.88.0.12/24", "fd88::12/64", "fe80::12/64"]);
    }
}
