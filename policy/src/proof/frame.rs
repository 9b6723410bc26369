//! Real Ethernet frames: headers with the fields that their RFCs ask for, and correct checksums.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{
    guard::{Direction, Seen},
    model::protocol::{self, ICMP, ICMPV6, SCTP, TCP, UDP},
};

const IGMP: u8 = 2;
const VRRP: u8 = 112;
const HOP_BY_HOP: u8 = 0;
const ETHERTYPE_V4: u16 = 0x0800;
const ETHERTYPE_V6: u16 = 0x86dd;
/// The router-alert option of IPv4 (RFC 2113), with which IGMP is sent.
const ROUTER_ALERT_V4: [u8; 4] = [0x94, 4, 0, 0];
/// A hop-by-hop header with the router-alert option of IPv6 (RFC 2711), with which MLD is sent; its next header is ICMPv6.
const ROUTER_ALERT_V6: [u8; 8] = [ICMPV6, 0, 5, 2, 0, 0, 1, 0];
/// Types that MLD uses.
const MLD_TYPES: [u8; 4] = [130, 131, 132, 143];
/// Of TCP: bits in the order of the header.
const SYN: u8 = 0x02;
const ACK: u8 = 0x10;
/// Frames shorter than this are padded on the wire (IEEE 802.3, without the frame check sequence).
const FRAME_BYTES_MIN: usize = 60;

/// What a TCP segment does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Segment {
    /// SYN alone: opens a connection.
    Opens,
    /// SYN and ACK: answers.
    Answers,
    /// ACK alone: any later one.
    Continues,
}

/// A packet by the fields that the guard looks at; everything else follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) ifindex: u32,
    pub(super) direction: Direction,
    pub(super) protocol: u8,
    pub(super) src: IpAddr,
    pub(super) dst: IpAddr,
    pub(super) ttl: u8,
    pub(super) src_port: u16,
    /// `type << 8 | code` of ICMP and ICMPv6.
    pub(super) dst_port: u16,
    /// TCP only.
    pub(super) segment: Segment,
}

impl Packet {
    /// What the guard sees in it.
    pub(super) fn seen(&self) -> Seen {
        let ports = protocol::has_ports(self.protocol);
        let word = ports || protocol::has_icmp_types(self.protocol);
        Seen {
            ifindex: self.ifindex,
            direction: self.direction,
            protocol: self.protocol,
            src: self.src,
            dst: self.dst,
            ttl: self.ttl,
            src_port: if ports { self.src_port } else { 0 },
            dst_port: if word { self.dst_port } else { 0 },
            opens: self.protocol == TCP && self.segment == Segment::Opens,
        }
    }

    /// The frame on the wire, without the frame check sequence. Both addresses are of one family.
    pub(super) fn frame(&self) -> Vec<u8> {
        let payload = self.payload();
        let mut frame = Vec::with_capacity(FRAME_BYTES_MIN.max(62 + payload.len()));
        frame.extend(mac_to(self.dst));
        frame.extend([0x02, 0, 0, 0, 0, 1]);
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                frame.extend(ETHERTYPE_V4.to_be_bytes());
                frame.extend(self.header_v4(src, dst, payload.len()));
            }
            (src, dst) => {
                frame.extend(ETHERTYPE_V6.to_be_bytes());
                frame.extend(self.header_v6(to_v6(src), to_v6(dst), payload.len()));
            }
        }
        frame.extend(payload);
        frame.resize(frame.len().max(FRAME_BYTES_MIN), 0);
        frame
    }

    fn header_v4(&self, src: Ipv4Addr, dst: Ipv4Addr, payload_len: usize) -> Vec<u8> {
        let options: &[u8] = if self.protocol == IGMP { &ROUTER_ALERT_V4 } else { &[] };
        let header_len = 20 + options.len();
        let mut header = vec![0x40 | low_byte(header_len / 4), 0xc0];
        header.extend(word(header_len + payload_len));
        // Identification, then "do not fragment" and no offset.
        header.extend([0x12, 0x34, 0x40, 0, self.ttl, self.protocol, 0, 0]);
        header.extend(src.octets());
        header.extend(dst.octets());
        header.extend(options);
        let sum = checksum(&[&header]);
        header[10..12].copy_from_slice(&sum);
        header
    }

    fn header_v6(&self, src: Ipv6Addr, dst: Ipv6Addr, payload_len: usize) -> Vec<u8> {
        let extension: &[u8] = if self.is_mld() { &ROUTER_ALERT_V6 } else { &[] };
        let next = if extension.is_empty() { self.protocol } else { HOP_BY_HOP };
        let mut header = vec![0x60, 0, 0, 0];
        header.extend(word(extension.len() + payload_len));
        header.extend([next, self.ttl]);
        header.extend(src.octets());
        header.extend(dst.octets());
        header.extend(extension);
        header
    }

    fn is_mld(&self) -> bool {
        self.protocol == ICMPV6 && MLD_TYPES.contains(&self.dst_port.to_be_bytes()[0])
    }

    fn payload(&self) -> Vec<u8> {
        match self.protocol {
            TCP => self.tcp(),
            UDP => self.udp(),
            SCTP => self.sctp(),
            ICMP => self.icmp(false),
            ICMPV6 => self.icmp(true),
            IGMP => self.igmp(),
            VRRP => self.vrrp(),
            _ => vec![0; 16],
        }
    }

    fn ports(&self) -> Vec<u8> {
        [self.src_port.to_be_bytes(), self.dst_port.to_be_bytes()].concat()
    }

    fn tcp(&self) -> Vec<u8> {
        let (flags, acknowledged) = match self.segment {
            Segment::Opens => (SYN, 0),
            Segment::Answers => (SYN | ACK, 1),
            Segment::Continues => (ACK, 1),
        };
        let mut bytes = self.ports();
        bytes.extend([0, 0, 0, 1, 0, 0, 0, acknowledged]);
        bytes.extend([0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
        self.with_checksum(bytes, 16)
    }

    fn udp(&self) -> Vec<u8> {
        let mut bytes = self.ports();
        bytes.extend(word(8 + 8));
        bytes.extend([0; 10]);
        self.with_checksum(bytes, 6)
    }

    /// A COOKIE ACK chunk; the checksum of SCTP is a CRC32c, which nothing on the way looks at.
    fn sctp(&self) -> Vec<u8> {
        [self.ports().as_slice(), &[0, 0, 0, 1, 0, 0, 0, 0], &[11, 0, 0, 4]].concat()
    }

    fn icmp(&self, v6: bool) -> Vec<u8> {
        let mut bytes = self.dst_port.to_be_bytes().to_vec();
        bytes.extend([0; 22]);
        if v6 {
            return self.with_checksum(bytes, 2);
        }
        let sum = checksum(&[&bytes]);
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }

    /// A version 2 membership report (RFC 2236, section 2).
    fn igmp(&self) -> Vec<u8> {
        let mut bytes = vec![0x16, 0, 0, 0];
        match self.dst {
            IpAddr::V4(group) => bytes.extend(group.octets()),
            IpAddr::V6(_) => bytes.extend([0; 4]),
        }
        let sum = checksum(&[&bytes]);
        bytes[2..4].copy_from_slice(&sum);
        bytes
    }

    /// An advertisement of version 3 (RFC 5798, section 5.2): router 51, priority 100, one address, each second.
    fn vrrp(&self) -> Vec<u8> {
        let mut bytes = vec![0x31, 51, 100, 1, 0, 100, 0, 0];
        match self.src {
            IpAddr::V4(_) => bytes.extend([192, 0, 2, 1]),
            IpAddr::V6(_) => bytes.extend(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x51).octets()),
        }
        self.with_checksum(bytes, 6)
    }

    /// With the checksum over pseudo-header and bytes at `at` (RFC 9293, section 3.1; RFC 8200, section 8.1).
    fn with_checksum(&self, mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
        let pseudo = match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => {
                [&src.octets()[..], &dst.octets(), &[0, self.protocol], &word(bytes.len())].concat()
            }
            (src, dst) => {
                let (src, dst) = (to_v6(src), to_v6(dst));
                [&src.octets()[..], &dst.octets(), &[0, 0], &word(bytes.len()), &[0, 0, 0, self.protocol]].concat()
            }
        };
        let sum = checksum(&[&pseudo, &bytes]);
        bytes[at..at + 2].copy_from_slice(&sum);
        bytes
    }
}

fn to_v6(addr: IpAddr) -> Ipv6Addr {
    match addr {
        IpAddr::V4(addr) => addr.to_ipv6_mapped(),
        IpAddr::V6(addr) => addr,
    }
}

/// Groups have hardware addresses of their own (RFC 1112, section 6.4; RFC 2464, section 7); the rest is an invented one.
fn mac_to(dst: IpAddr) -> [u8; 6] {
    match dst {
        IpAddr::V4(group) if group.is_multicast() => {
            let [_, b, c, d] = group.octets();
            [0x01, 0x00, 0x5e, b & 0x7f, c, d]
        }
        IpAddr::V6(group) if group.is_multicast() => {
            let octets = group.octets();
            [0x33, 0x33, octets[12], octets[13], octets[14], octets[15]]
        }
        _ => [0x02, 0, 0, 0, 0, 2],
    }
}

/// The Internet checksum (RFC 1071) of parts, of which all but the last have an even length.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], *word.get(1).unwrap_or(&0)]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let [_, _, high, low] = (folded + (folded >> 16)).to_be_bytes();
    [!high, !low]
}

/// A length of these short packets as it is written in headers.
fn word(length: usize) -> [u8; 2] {
    u16::try_from(length).expect("packets made here are short").to_be_bytes()
}

fn low_byte(length: usize) -> u8 {
    u8::try_from(length).expect("headers made here are short")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(protocol: u8, src: &str, dst: &str) -> Packet {
        Packet {
            ifindex: 1,
            direction: Direction::Ingress,
            protocol,
            src: src.parse().unwrap(),
            dst: dst.parse().unwrap(),
            ttl: 255,
            src_port: 40_000,
            dst_port: 443,
            segment: Segment::Opens,
        }
    }

    /// A sum over data that holds its own checksum is all ones, so its complement is zero.
    #[test]
    fn checksums_are_right() {
        let v4 = packet(TCP, "192.0.2.1", "192.0.2.2").frame();
        assert_eq!(checksum(&[&v4[14..34]]), [0, 0]);
        let pseudo = [&v4[26..34], &[0, TCP, 0, 20]].concat();
        assert_eq!(checksum(&[&pseudo, &v4[34..54]]), [0, 0]);
        let v6 = packet(UDP, "2001:db8::1", "2001:db8::2").frame();
        let pseudo = [&v6[22..54], &[0, 0, 0, 16, 0, 0, 0, UDP]].concat();
        assert_eq!(checksum(&[&pseudo, &v6[54..70]]), [0, 0]);
    }

    #[test]
    fn vrrp_is_as_keepalived_sends_it() {
        let frame = packet(VRRP, "10.0.0.1", "224.0.0.18").frame();
        assert_eq!(frame[..6], [0x01, 0x00, 0x5e, 0, 0, 18]);
        assert_eq!((frame[22], frame[23], frame[34] >> 4), (255, 112, 3));
        let pseudo = [&frame[26..34], &[0, VRRP, 0, 12]].concat();
        assert_eq!(checksum(&[&pseudo, &frame[34..46]]), [0, 0]);
    }

    #[test]
    fn mld_comes_behind_a_router_alert_and_igmp_with_one() {
        let mld = Packet { dst_port: 143 << 8, ttl: 1, ..packet(ICMPV6, "fe80::1", "ff02::16") }.frame();
        assert_eq!((mld[20], mld[54], mld[62]), (HOP_BY_HOP, ICMPV6, 143));
        let igmp = Packet { ttl: 1, ..packet(IGMP, "10.0.0.1", "224.0.0.18") }.frame();
        assert_eq!((igmp[14], igmp[38], checksum(&[&igmp[14..38]])), (0x46, 0x16, [0, 0]));
    }
}
