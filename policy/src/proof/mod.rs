//! Proof obligations: real Ethernet frames on which the loaded programs must answer, before a revision becomes active, exactly as
//! the guard says (G0, layer 3).
//!
//! For every entry there are the frames that it is for, and near misses: the same frame with one field changed. A near miss
//! that another entry legitimately allows is left out.

mod frame;
mod link;
mod near;

use serde::{Deserialize, Serialize};

use self::frame::{Packet, Segment};
use crate::{
    guard::{Direction, Guard, GuardEntry, JoinEntry, LocalInterface, PortMatch},
    model::protocol::{self, TCP, UDP},
    packet::Flow,
};

/// The other port of a frame: one of the range from which systems choose.
const EPHEMERAL_PORT: u16 = 49_321;
/// Time to live where the entry does not ask for one.
const TTL: u8 = 64;

/// A frame and what the guard must say to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obligation {
    /// The interface's number, and which way the frame goes.
    pub hook: (u32, Direction),
    /// The whole Ethernet frame, without the frame check sequence.
    pub frame: Vec<u8>,
    /// `true`: a sync flow, the guard must say yes. `false`: a near miss, the guard must not say yes.
    pub must_pass: bool,
    /// What the frame is, for whoever reads that it went wrong.
    pub why: String,
}

/// Every frame on which the guard has to be right. What arrives from joiners is only shown from the outside: it is rate
/// limited, so that a yes cannot be asked for.
pub fn obligations(guard: &Guard, interfaces: &[LocalInterface]) -> Vec<Obligation> {
    let mut proof = Proof { guard, interfaces, obligations: Vec::new() };
    guard.entries.iter().for_each(|entry| proof.entry(entry));
    guard.joins.iter().for_each(|join| proof.join(join));
    interfaces
        .iter()
        .filter(|one| guard.interfaces.contains(&one.ifindex))
        .for_each(|one| link::prove(&mut proof, one));
    proof.obligations
}

/// The Ethernet frame of a packet of this flow, without the frame check sequence: what a program can be asked about. A TCP
/// segment is the one that opens the connection. Both addresses are of one family.
pub fn frame(flow: &Flow) -> Vec<u8> {
    let Flow { src, dst, protocol, src_port, dst_port } = *flow;
    // The interface and the direction are not in a frame.
    let (ifindex, direction) = (0, Direction::Ingress);
    Packet { ifindex, direction, protocol, src, dst, ttl: TTL, src_port, dst_port, segment: Segment::Opens }.frame()
}

struct Proof<'a> {
    guard: &'a Guard,
    interfaces: &'a [LocalInterface],
    obligations: Vec<Obligation>,
}

impl Proof<'_> {
    fn entry(&mut self, entry: &GuardEntry) {
        let packets = packets(entry);
        for packet in &packets {
            self.must_pass(packet, &sentence(entry));
        }
        if let Some(packet) = packets.first() {
            for (field, missed) in near::misses(packet, entry, self.interfaces) {
                self.near_miss(&missed, &format!("{}, but {field}", sentence(entry)));
            }
        }
    }

    fn join(&mut self, join: &JoinEntry) {
        let Some((inside, outside)) = near::around(join.subnet, join.own) else { return };
        let packet = |peer, port| {
            let (src, dst, src_port, dst_port) = match join.direction {
                Direction::Ingress => (peer, join.own, EPHEMERAL_PORT, port),
                Direction::Egress => (join.own, peer, port, EPHEMERAL_PORT),
            };
            let (ifindex, direction) = (join.ifindex, join.direction);
            Packet {
                ifindex,
                direction,
                protocol: UDP,
                src,
                dst,
                ttl: TTL,
                src_port,
                dst_port,
                segment: Segment::Continues,
            }
        };
        let what = format!("the door for joiners at {} port {}", join.own, join.port);
        if join.direction == Direction::Egress {
            self.must_pass(&packet(inside, join.port), &format!("what leaves through {what}"));
        }
        self.near_miss(&packet(outside, join.port), &format!("{what}, but from or to outside its subnet"));
        self.near_miss(&packet(inside, near::port(join.port)), &format!("{what}, but another port"));
        let tcp = Packet { protocol: TCP, ..packet(inside, join.port) };
        self.near_miss(&tcp, &format!("{what}, but another protocol"));
    }

    fn must_pass(&mut self, packet: &Packet, why: &str) {
        debug_assert!(self.guard.judge(&packet.seen()).is_some(), "{why}");
        self.add(packet, true, why);
    }

    /// Unless the guard has another reason to say yes.
    fn near_miss(&mut self, packet: &Packet, why: &str) {
        if self.guard.judge(&packet.seen()).is_none() {
            self.add(packet, false, why);
        }
    }

    fn add(&mut self, packet: &Packet, must_pass: bool, why: &str) {
        let hook = (packet.ifindex, packet.direction);
        self.obligations.push(Obligation { hook, frame: packet.frame(), must_pass, why: why.to_owned() });
    }
}

/// Packets for which an entry is: of TCP the opening one where it may open, and later ones.
fn packets(entry: &GuardEntry) -> Vec<Packet> {
    let (src_port, dst_port) = match entry.matching {
        PortMatch::Any => (EPHEMERAL_PORT, EPHEMERAL_PORT),
        PortMatch::Dst(port) => (EPHEMERAL_PORT, port),
        PortMatch::Src(port) => (port, EPHEMERAL_PORT),
        PortMatch::IcmpType(kind) => (0, u16::from(kind) << 8),
    };
    let packet = |segment| Packet {
        ifindex: entry.ifindex,
        direction: entry.direction,
        protocol: entry.protocol,
        src: entry.src,
        dst: entry.dst,
        ttl: entry.ttl.unwrap_or(TTL),
        src_port,
        dst_port,
        segment,
    };
    let segments: &[Segment] = match (entry.protocol, entry.matching) {
        (TCP, PortMatch::Src(_)) => &[Segment::Answers, Segment::Continues],
        (TCP, _) => &[Segment::Opens, Segment::Continues],
        _ => &[Segment::Continues],
    };
    segments.iter().map(|&segment| packet(segment)).collect()
}

fn sentence(entry: &GuardEntry) -> String {
    let name = protocol::name(entry.protocol);
    let matching = match entry.matching {
        PortMatch::Any => String::new(),
        PortMatch::Dst(port) => format!(" to port {port}"),
        PortMatch::Src(port) => format!(" from port {port}"),
        PortMatch::IcmpType(kind) => format!(" type {kind}"),
    };
    let ttl = entry.ttl.map_or(String::new(), |ttl| format!(" ttl {ttl}"));
    format!(
        "{name}{matching}{ttl} from {} to {} at {} of interface {}",
        entry.src, entry.dst, entry.direction, entry.ifindex
    )
}

#[cfg(test)]
mod tests;
