//! From a frame to what is judged of it: the mirror of `bpf/parse.h`, step for step. Nothing is dropped here; what cannot be right
//! is noted as the problem and judged after the guard.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use policy::Flow;

use crate::reason::Reason;

const ETH_HEADER_BYTES: usize = 14;
const ETH_IP4: u16 = 0x0800;
const ETH_IP6: u16 = 0x86dd;
const ETH_VLAN: u16 = 0x8100;
const ETH_QINQ: u16 = 0x88a8;
const VLAN_TAGS_MAX: usize = 2;
const IP4_HEADER_BYTES: usize = 20;
const IP6_HEADER_BYTES: usize = 40;
/// Where a datagram ends at the latest.
const DATAGRAM_BYTES_MAX: u64 = 0xffff;
/// Extension headers that are walked.
const EXTENSIONS_MAX: usize = 6;
/// Offset in the frame beyond which no extension header may reach.
const EXTENSIONS_END: usize = 0x3e0;
/// Offset in the frame beyond which no quoted packet is looked at.
const QUOTED_AT_MAX: usize = 0x3c0;

pub(crate) const HOP_BY_HOP: u8 = 0;
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ROUTING: u8 = 43;
pub(crate) const FRAGMENT: u8 = 44;
pub(crate) const ICMP6: u8 = 58;
pub(crate) const DESTINATION: u8 = 60;
pub(crate) const SCTP: u8 = 132;
const UNKNOWN_EXTENSIONS: [u8; 5] = [135, 139, 140, 253, 254];

pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// Which part of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Part {
    /// All of it.
    #[default]
    Whole,
    /// Its first fragment.
    First,
    /// A later fragment.
    Later,
}

/// What is judged of an IP packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) src: IpAddr,
    pub(crate) dst: IpAddr,
    pub(crate) protocol: u8,
    pub(crate) ttl: u8,
    pub(crate) src_port: u16,
    /// ICMP: type << 8 | code.
    pub(crate) dst_port: u16,
    pub(crate) echo_id: u16,
    /// Of TCP.
    pub(crate) flags: u8,
    /// ICMP: the type of the question that this is or answers.
    pub(crate) question: Option<u8>,
    pub(crate) answer: bool,
    /// The outermost tag that names a VLAN, and the one behind it; 0: none.
    pub(crate) tags: (u16, u16),
    pub(crate) part: Part,
    pub(crate) fragment_id: u32,
    /// Offset of a later fragment in the datagram, bytes.
    pub(crate) fragment_start: u32,
    /// Bytes of the datagram that a fragment carries, IPv6 extension headers behind its own included.
    pub(crate) fragment_bytes: u32,
    /// Bytes behind the IP headers.
    pub(crate) payload: usize,
    /// Offset of the transport header in the frame.
    pub(crate) at: usize,
    pub(crate) problem: Option<Reason>,
}

/// Reads a frame. `None`: not IP.
pub(crate) fn parse(frame: &[u8]) -> Option<Packet> {
    let mut kind = word(frame, 12)?;
    let mut packet = Packet::blank(ETH_HEADER_BYTES);
    for _ in 0..VLAN_TAGS_MAX {
        if kind == ETH_VLAN || kind == ETH_QINQ {
            let (Some(tag), Some(inside)) = (word(frame, packet.at), word(frame, packet.at + 2)) else {
                packet.settle(|_| Err(Reason::Truncated));
                return Some(packet);
            };
            let vid = tag & 0xfff;
            kind = inside;
            // A tag of VLAN 0 only carries a priority.
            packet.tags = if packet.tags.0 == 0 { (vid, 0) } else { (packet.tags.0, vid) };
            packet.at += 4;
        }
    }
    let seen = frame.len().saturating_sub(packet.at);
    match kind {
        ETH_IP4 => packet.settle(|p| p.ip4(frame, seen)),
        ETH_IP6 => packet.settle(|p| p.ip6(frame, seen)),
        ETH_VLAN | ETH_QINQ => packet.settle(|_| Err(Reason::VlanDepth)),
        _ => return None,
    }
    Some(packet)
}

/// What an ICMP error quotes, if it quotes a packet that the addressee of the error has sent.
pub(crate) fn quoted(packet: &Packet, frame: &[u8]) -> Option<Packet> {
    if packet.at + 8 > QUOTED_AT_MAX {
        return None;
    }
    // What lies in the padding behind the error is not quoted.
    let frame = frame.get(..packet.at + packet.payload)?;
    let mut quoted = Packet::blank(packet.at + 8);
    if packet.is_v6() {
        quoted.quoted_ip6(frame)?;
    } else {
        quoted.quoted_ip4(frame)?;
    }
    if quoted.src != packet.dst {
        return None;
    }
    quoted.quoted_ports(frame)?;
    // Of protocols of which nothing more is read, the header must be whole all the same.
    (quoted.at <= frame.len()).then_some(quoted)
}

/// `size` bytes at an offset, if the frame has them.
fn bytes(frame: &[u8], at: usize, size: usize) -> Option<&[u8]> {
    frame.get(at..at + size)
}

fn word(frame: &[u8], at: usize) -> Option<u16> {
    bytes(frame, at, 2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
}

fn be16(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn be32(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn ip4_at(bytes: &[u8], at: usize) -> IpAddr {
    Ipv4Addr::from_bits(be32(bytes, at)).into()
}

fn ip6_at(bytes: &[u8], at: usize) -> IpAddr {
    let octets: [u8; 16] = bytes[at..at + 16].try_into().expect("sixteen bytes");
    Ipv6Addr::from(octets).into()
}

fn mapped(addr: IpAddr) -> bool {
    matches!(addr, IpAddr::V6(addr) if addr.to_ipv4_mapped().is_some())
}

fn walked(next: u8) -> bool {
    matches!(next, HOP_BY_HOP | DESTINATION | ROUTING | FRAGMENT)
}

type Step = Result<(), Reason>;

impl Packet {
    fn blank(at: usize) -> Packet {
        Packet {
            src: Ipv6Addr::UNSPECIFIED.into(),
            dst: Ipv6Addr::UNSPECIFIED.into(),
            protocol: 0,
            ttl: 0,
            src_port: 0,
            dst_port: 0,
            echo_id: 0,
            flags: 0,
            question: None,
            answer: false,
            tags: (0, 0),
            part: Part::Whole,
            fragment_id: 0,
            fragment_start: 0,
            fragment_bytes: 0,
            payload: 0,
            at,
            problem: None,
        }
    }

    pub(crate) fn is_v6(&self) -> bool {
        self.src.is_ipv6()
    }

    /// A later fragment with what only the first one of its datagram says.
    pub(crate) fn completed(&self, first: &Packet) -> Packet {
        Packet {
            protocol: first.protocol,
            src_port: first.src_port,
            dst_port: first.dst_port,
            echo_id: first.echo_id,
            flags: first.flags,
            question: first.question,
            answer: first.answer,
            ..self.clone()
        }
    }

    /// The part that policy looks at.
    pub(crate) fn flow(&self) -> Flow {
        Flow { src: self.src, dst: self.dst, protocol: self.protocol, src_port: self.src_port, dst_port: self.dst_port }
    }

    pub(crate) fn bare_syn(&self) -> bool {
        self.protocol == TCP && self.flags & (SYN | ACK) == SYN
    }

    /// Whether this can be the answer to a packet of the reversed tuple.
    pub(crate) fn can_answer(&self) -> bool {
        !self.bare_syn() && self.flow().can_be_answer()
    }

    fn settle(&mut self, step: impl FnOnce(&mut Packet) -> Step) {
        if let Err(reason) = step(self) {
            self.problem = Some(reason);
        }
    }

    fn icmp(&self) -> u8 {
        if self.is_v6() { ICMP6 } else { ICMP }
    }

    fn ip4(&mut self, frame: &[u8], seen: usize) -> Step {
        let ip = bytes(frame, self.at, IP4_HEADER_BYTES).ok_or(Reason::Truncated)?;
        (self.src, self.dst) = (ip4_at(ip, 12), ip4_at(ip, 16));
        (self.protocol, self.ttl) = (ip[9], ip[8]);
        let header = usize::from(ip[0] & 0xf) * 4;
        let mut total = usize::from(be16(ip, 2));
        if ip[0] >> 4 != 4 || header < IP4_HEADER_BYTES {
            return Err(Reason::BadHeader);
        }
        if total == 0 && seen > 0xffff {
            total = seen;
        }
        if total < header || total > seen {
            return Err(Reason::BadLength);
        }
        self.payload = total - header;
        self.at += header;
        let offset = be16(ip, 6);
        if offset & 0x3fff != 0 {
            self.part = if offset & 0x1fff != 0 { Part::Later } else { Part::First };
            self.fragment_id = u32::from(be16(ip, 4));
            self.place_fragment(u32::from(offset & 0x1fff) << 3, self.payload)?;
        }
        self.transport(frame)
    }

    fn ip6(&mut self, frame: &[u8], seen: usize) -> Step {
        let ip = bytes(frame, self.at, IP6_HEADER_BYTES).ok_or(Reason::Truncated)?;
        (self.src, self.dst) = (ip6_at(ip, 8), ip6_at(ip, 24));
        (self.protocol, self.ttl) = (ip[6], ip[7]);
        let mut payload = usize::from(be16(ip, 4));
        // RFC 4942, 2.2: a mapped address on the wire pretends to be one of IPv4.
        if ip[0] >> 4 != 6 || mapped(self.src) || mapped(self.dst) {
            return Err(Reason::BadHeader);
        }
        if payload == 0 && seen > 0xffff + IP6_HEADER_BYTES {
            payload = seen - IP6_HEADER_BYTES;
        }
        if payload + IP6_HEADER_BYTES > seen {
            return Err(Reason::BadLength);
        }
        self.payload = payload;
        self.at += IP6_HEADER_BYTES;
        self.extensions(frame)?;
        self.transport(frame)
    }

    fn extensions(&mut self, frame: &[u8]) -> Step {
        for index in 0..EXTENSIONS_MAX {
            if !walked(self.protocol) || self.part == Part::Later {
                break;
            }
            self.extension(frame, index == 0)?;
        }
        if self.part == Part::Later {
            return Ok(());
        }
        if walked(self.protocol) {
            return Err(Reason::ExtensionChain);
        }
        if UNKNOWN_EXTENSIONS.contains(&self.protocol) {
            return Err(Reason::UnknownExtension);
        }
        Ok(())
    }

    /// What a later fragment could overwrite, or does.
    fn place_fragment(&mut self, start: u32, bytes: usize) -> Step {
        (self.fragment_start, self.fragment_bytes) = (start, u32::try_from(bytes).unwrap_or(u32::MAX));
        if u64::from(start) + bytes as u64 > DATAGRAM_BYTES_MAX { Err(Reason::BadLength) } else { Ok(()) }
    }

    fn extension(&mut self, frame: &[u8], first: bool) -> Step {
        // RFC 8200, 4.1: hop-by-hop options come first or not at all.
        if self.protocol == HOP_BY_HOP && !first {
            return Err(Reason::ExtensionChain);
        }
        let header = bytes(frame, self.at, 8).ok_or(Reason::Truncated)?;
        let mut length = 8;
        if self.protocol == FRAGMENT {
            let offset = u32::from(be16(header, 2) & 0xfff8);
            if self.part != Part::Whole {
                return Err(Reason::ExtensionChain);
            }
            // RFC 6946: offset 0 and nothing to follow is a whole packet.
            if offset != 0 || header[3] & 1 != 0 {
                self.part = if offset != 0 { Part::Later } else { Part::First };
                self.fragment_id = be32(header, 4);
                self.place_fragment(offset, self.payload.saturating_sub(8))?;
            }
        } else {
            if self.protocol == ROUTING && header[2] == 0 {
                return Err(Reason::RoutingHeader);
            }
            length += usize::from(header[1]) * 8;
        }
        if length > self.payload {
            return Err(Reason::BadLength);
        }
        if self.at + length > EXTENSIONS_END {
            return Err(Reason::ExtensionChain);
        }
        self.protocol = header[0];
        self.at += length;
        self.payload -= length;
        Ok(())
    }

    fn transport(&mut self, frame: &[u8]) -> Step {
        if self.part == Part::Later {
            // RFC 1858, 3.2: a fragment at offset 1 can only be there to rewrite the flags.
            let rewrites = self.protocol == TCP && self.fragment_start == 8;
            return if rewrites { Err(Reason::FragmentOverlap) } else { Ok(()) };
        }
        let other_icmp = if self.is_v6() { ICMP } else { ICMP6 };
        if self.protocol == other_icmp {
            return Err(Reason::BadHeader);
        }
        let least = match self.protocol {
            TCP => 20,
            UDP | ICMP | ICMP6 => 8,
            SCTP => 12,
            _ => return Ok(()),
        };
        if self.payload < least {
            return Err(self.too_short());
        }
        let header = bytes(frame, self.at, least).ok_or(Reason::Truncated)?;
        match self.protocol {
            TCP => self.tcp(header),
            UDP => self.udp(header),
            SCTP => {
                self.ports(header);
                Ok(())
            }
            _ => {
                self.icmp_header(header);
                Ok(())
            }
        }
    }

    fn too_short(&self) -> Reason {
        if self.part == Part::Whole { Reason::BadLength } else { Reason::TinyFragment }
    }

    fn ports(&mut self, header: &[u8]) {
        (self.src_port, self.dst_port) = (be16(header, 0), be16(header, 2));
    }

    fn tcp(&mut self, header: &[u8]) -> Step {
        self.ports(header);
        self.flags = header[13];
        let length = usize::from(header[12] >> 4) * 4;
        if length < 20 {
            return Err(Reason::BadHeader);
        }
        if length > self.payload {
            return Err(self.too_short());
        }
        let opens_and_ends = self.flags & SYN != 0 && self.flags & (FIN | RST) != 0;
        if self.flags & (SYN | RST | ACK) == 0 || opens_and_ends {
            return Err(Reason::BadTcpFlags);
        }
        Ok(())
    }

    fn udp(&mut self, header: &[u8]) -> Step {
        self.ports(header);
        let length = usize::from(be16(header, 4));
        let too_long = self.part == Part::Whole && length > self.payload;
        if length != 0 && (length < 8 || too_long) {
            return Err(Reason::BadLength);
        }
        Ok(())
    }

    fn icmp_header(&mut self, header: &[u8]) {
        self.dst_port = be16(header, 0);
        (self.question, self.answer) = match (self.is_v6(), header[0]) {
            (true, kind @ (128 | 129)) => (Some(128), kind == 129),
            (true, kind @ (139 | 140)) => (Some(139), kind == 140),
            (false, 0) => (Some(8), true),
            (false, 8) => (Some(8), false),
            (false, kind @ 13..=18) => (Some(kind - u8::from(kind & 1 == 0)), kind & 1 == 0),
            _ => (None, false),
        };
        if self.question.is_some() {
            self.echo_id = be16(header, 4);
        }
    }

    /// ICMP that reports what became of another packet.
    pub(crate) fn is_error(&self) -> bool {
        let kind = self.dst_port >> 8;
        self.part == Part::Whole
            && self.protocol == self.icmp()
            && if self.is_v6() { (1..=4).contains(&kind) } else { matches!(kind, 3 | 11 | 12) }
    }

    fn quoted_ip4(&mut self, frame: &[u8]) -> Option<()> {
        let ip = bytes(frame, self.at, IP4_HEADER_BYTES)?;
        if ip[0] >> 4 != 4 || ip[0] & 0xf < 5 || be16(ip, 6) & 0x1fff != 0 {
            return None;
        }
        (self.src, self.dst) = (ip4_at(ip, 12), ip4_at(ip, 16));
        self.protocol = ip[9];
        self.at += usize::from(ip[0] & 0xf) * 4;
        Some(())
    }

    fn quoted_ip6(&mut self, frame: &[u8]) -> Option<()> {
        let ip = bytes(frame, self.at, IP6_HEADER_BYTES)?;
        if ip[0] >> 4 != 6 {
            return None;
        }
        (self.src, self.dst) = (ip6_at(ip, 8), ip6_at(ip, 24));
        self.protocol = ip[6];
        self.at += IP6_HEADER_BYTES;
        if self.protocol == FRAGMENT {
            let fragment = bytes(frame, self.at, 8)?;
            if fragment[2] != 0 || fragment[3] & 0xf8 != 0 {
                return None;
            }
            self.protocol = fragment[0];
            self.at += 8;
        }
        let nonsense = walked(self.protocol) || UNKNOWN_EXTENSIONS.contains(&self.protocol);
        (!nonsense && !mapped(self.src) && !mapped(self.dst)).then_some(())
    }

    fn quoted_ports(&mut self, frame: &[u8]) -> Option<()> {
        match self.protocol {
            TCP | UDP | SCTP => self.ports(bytes(frame, self.at, 4)?),
            kind if kind == self.icmp() => {
                self.icmp_header(bytes(frame, self.at, 8)?);
                // No error is about an error (RFC 1122, 3.2.2).
                return (!self.is_error()).then_some(());
            }
            // The ICMP of the other family is no packet that anybody has sent.
            ICMP | ICMP6 => return None,
            _ => {}
        }
        Some(())
    }
}
