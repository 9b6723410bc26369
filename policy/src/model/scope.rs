//! Sets of addresses as policies refer to them.

use ipnet::IpNet;

/// A set of addresses that a policy applies to, or that a peer stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Every address.
    Any,
    /// Every address of every committed member.
    Members,
    /// The union of segments, by position in [`Model::segments`](super::Model::segments), ascending. One segment by
    /// name, or those a selector selects; never empty.
    Segments(Vec<usize>),
    /// One network. Only in peers.
    Cidr(IpNet),
}
