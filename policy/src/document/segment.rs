//! A segment as it is written.

use ipnet::IpNet;

use super::Located;
use crate::model::{Ports, SegmentRole};

/// `spec` of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentSpec {
    /// What its addresses are.
    pub role: SegmentRole,
    /// Networks without host bits; a bare address counts as the network of it alone.
    pub addresses: Vec<Located<IpNet>>,
    /// What rules may name.
    pub services: Vec<ServiceSpec>,
}

/// A named service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Unique in its segment.
    pub name: Located<String>,
    /// What it listens on.
    pub ports: Ports,
}
