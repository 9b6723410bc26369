//! Named sets of addresses.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Service;

/// Name of the built-in segment of every address of every committed member.
pub const MEMBERS: &str = "members";
/// Name of the built-in segment of every address.
pub const ANY: &str = "any";

/// What the addresses of a segment are to the load balancers. Has no bearing on verdicts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SegmentRole {
    /// Virtual addresses: inbound.
    Vip,
    /// Servers behind the load balancers: outbound.
    Backend,
    /// Who comes in.
    Client,
    /// Who administers.
    Management,
}

impl SegmentRole {
    /// Every role as it is written.
    pub const NAMES: [(&'static str, SegmentRole); 4] = [
        ("vip", SegmentRole::Vip),
        ("backend", SegmentRole::Backend),
        ("client", SegmentRole::Client),
        ("management", SegmentRole::Management),
    ];
}

impl fmt::Display for SegmentRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SegmentRole::NAMES.iter().find(|(_, role)| role == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// A named set of addresses with the services that they offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Unique among segments.
    pub name: String,
    /// What its addresses are.
    pub role: SegmentRole,
    /// What selectors look at.
    pub labels: BTreeMap<String, String>,
    /// Networks without host bits, sorted, without repetition; they may overlap, also with other segments.
    pub addresses: Vec<IpNet>,
    /// What rules may name, sorted by name.
    pub services: Vec<Service>,
}

impl Segment {
    /// Whether the address is in the segment.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.addresses.iter().any(|network| network.contains(&address))
    }

    /// The service of this name.
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.name == name)
    }
}
