//! The load balancers as routers: the virtual addresses are the clients' way to the servers, and the servers' way back.

use super::addresses::{Addresses, BACK4, BACK6, VIP4, VIP6};
use super::plan::{Site, WEB_HOSTS};
use crate::LabError;
use crate::lab::Namespace;

/// The networks that are reached through a virtual address.
const VIP_NETWORKS: [&str; 2] = ["203.0.113.0/24", "2001:db8:77::/64"];
const BACKEND_NETWORKS: [&str; 2] = ["10.88.0.0/24", "fd88::/64"];

impl Site {
    /// Lets the load balancers forward, and sends clients and web servers through whichever holds the virtual addresses.
    pub fn route_through(&self) -> Result<(), LabError> {
        for balancer in &self.balancers {
            balancer.machine.sysctl("net.ipv4.ip_forward", "1")?;
            balancer.machine.sysctl("net.ipv6.conf.all.forwarding", "1")?;
        }
        for client in [&self.allowed, &self.denied] {
            through(client, BACKEND_NETWORKS, [VIP4.to_string(), VIP6.to_string()])?;
        }
        for index in 0..WEB_HOSTS.len() {
            through(self.web_machine(index), VIP_NETWORKS, [BACK4.to_string(), BACK6.to_string()])?;
        }
        Ok(())
    }

    /// The addresses of a web server.
    pub fn web_addresses(&self, index: usize) -> Addresses {
        Addresses::of(WEB_HOSTS[index])
    }
}

fn through(machine: &Namespace, networks: [&str; 2], gateways: [String; 2]) -> Result<(), LabError> {
    for (network, gateway) in networks.iter().zip(gateways) {
        machine.ip(&["route", "add", network, "via", &gateway])?;
    }
    Ok(())
}
