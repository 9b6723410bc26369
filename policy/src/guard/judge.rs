//! The guard's answer on one packet, as the kernel gives it: the reference for the proof and for the userspace enforcer.

use std::net::IpAddr;

use super::{Direction, Guard, GuardEntry, PortMatch, link};

/// What the guard looks at in a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The interface.
    pub ifindex: u32,
    /// Arriving or leaving.
    pub direction: Direction,
    /// IP protocol number, after any extension headers.
    pub protocol: u8,
    /// Source address.
    pub src: IpAddr,
    /// Destination address.
    pub dst: IpAddr,
    /// Time to live or hop limit.
    pub ttl: u8,
    /// Source port of TCP, UDP and SCTP; 0 for all else.
    pub src_port: u16,
    /// Destination port of TCP, UDP and SCTP; `type << 8 | code` for ICMP and ICMPv6; 0 for all else.
    pub dst_port: u16,
    /// TCP with SYN and without ACK.
    pub opens: bool,
}

/// Why the guard says yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// A sync flow between members, by an entry.
    Sync,
    /// Link support.
    Link,
    /// The door for joiners; the rate limit is not in this answer.
    Join,
}

const PROTOCOL_TCP: u8 = 6;
const PROTOCOL_UDP: u8 = 17;

impl Guard {
    /// Whether the packet is one that the guard passes, and why. `None`: the guard has nothing to say about it.
    pub fn judge(&self, seen: &Seen) -> Option<Judged> {
        if !self.interfaces.contains(&seen.ifindex) {
            return None;
        }
        if matches_of(seen).into_iter().flatten().any(|matching| self.has(seen, matching)) {
            return Some(Judged::Sync);
        }
        let icmp_type = (seen.dst_port >> 8) as u8;
        if link::supports(seen.protocol, Some(icmp_type), seen.dst, seen.ttl) {
            return Some(Judged::Link);
        }
        self.lets_join(seen).then_some(Judged::Join)
    }

    /// Whether anti-spoofing drops the packet (asked after [`Guard::judge`], of what arrives).
    pub fn spoofs(&self, seen: &Seen) -> bool {
        seen.direction == Direction::Ingress
            && self.spoof.iter().any(|entry| entry.addr == seen.src && entry.ifindex_allowed != seen.ifindex)
    }

    fn has(&self, seen: &Seen, matching: PortMatch) -> bool {
        [None, Some(seen.ttl)].into_iter().any(|ttl| {
            self.entries.contains(&GuardEntry {
                ifindex: seen.ifindex,
                direction: seen.direction,
                protocol: seen.protocol,
                matching,
                src: seen.src,
                dst: seen.dst,
                ttl,
            })
        })
    }

    fn lets_join(&self, seen: &Seen) -> bool {
        seen.protocol == PROTOCOL_UDP
            && self.joins.iter().any(|join| {
                let (own, peer, port) = match join.direction {
                    Direction::Ingress => (seen.dst, seen.src, seen.dst_port),
                    Direction::Egress => (seen.src, seen.dst, seen.src_port),
                };
                (join.ifindex, join.direction, join.own, join.port) == (seen.ifindex, seen.direction, own, port)
                    && join.subnet.contains(&peer)
            })
    }
}

/// The ways in which an entry could match the packet.
fn matches_of(seen: &Seen) -> [Option<PortMatch>; 4] {
    let icmp = matches!(seen.protocol, 1 | 58).then_some(PortMatch::IcmpType((seen.dst_port >> 8) as u8));
    let reply = (seen.protocol == PROTOCOL_TCP && !seen.opens).then_some(PortMatch::Src(seen.src_port));
    [Some(PortMatch::Any), Some(PortMatch::Dst(seen.dst_port)), reply, icmp]
}
