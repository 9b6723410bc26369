//! What the kernel says of network interfaces, by rtnetlink: whether they carry Ethernet, and which is a VLAN of which other one.
//!
//! Not from `/sys` or `/proc`: the one may show another network namespace than this thread's, and the VLAN table of the other is root's own,
//! which an agent without CAP_DAC_OVERRIDE cannot read. Asking takes no capability. The messages are those of rtnetlink(7).

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

/// `ARPHRD_ETHER`.
const KIND_ETHERNET: u16 = 1;
/// `ARPHRD_LOOPBACK`; its frames have Ethernet headers too.
const KIND_LOOPBACK: u16 = 772;

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const NLM_F_REQUEST: u16 = 1;
const NLM_F_DUMP: u16 = 0x300;
/// Links came or went while the answer was made.
const NLM_F_DUMP_INTR: u16 = 0x10;

const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;
/// The bits of an attribute's type that are no flags.
const ATTRIBUTE_TYPE: u16 = 0x3fff;

/// `struct nlmsghdr` and `struct ifinfomsg`, in bytes.
const HEADER_BYTES: usize = 16;
const INFO_BYTES: usize = 16;
/// The kernel fills at most this much of a buffer at once.
const BUFFER_BYTES: usize = 32 << 10;
/// Links of a network namespace that are listened to.
const LINKS_MAX: usize = 65_536;
/// Times that an interrupted answer is asked for again.
const DUMPS_MAX: usize = 5;

/// One network interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) ifindex: u32,
    /// `ARPHRD_*`.
    pub(crate) kind: u16,
    /// The device and the number of the VLAN that it is.
    pub(crate) vlan: Option<(u32, u16)>,
}

impl Link {
    /// Whether its frames begin with an Ethernet header, which is what the programs read.
    pub(crate) fn carries_ethernet(&self) -> bool {
        matches!(self.kind, KIND_ETHERNET | KIND_LOOPBACK)
    }
}

/// Every interface of this thread's network namespace.
pub(crate) fn all() -> io::Result<Vec<Link>> {
    for _ in 0..DUMPS_MAX {
        if let Some(links) = ask(NLM_F_REQUEST | NLM_F_DUMP, 0)? {
            return Ok(links);
        }
    }
    Err(io::Error::other("the interfaces change all the time; try again when they have settled"))
}

/// One interface of this thread's network namespace.
pub(crate) fn one(ifindex: u32) -> io::Result<Link> {
    let links = ask(NLM_F_REQUEST, ifindex)?.unwrap_or_default();
    links.into_iter().find(|link| link.ifindex == ifindex).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// `None`: the answer was interrupted.
fn ask(flags: u16, ifindex: u32) -> io::Result<Option<Vec<Link>>> {
    // Protocol 0 of netlink is rtnetlink.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    send(&socket, &request(flags, ifindex), SendFlags::empty())?;
    let (mut answer, mut buffer) = (Answer::default(), vec![0; BUFFER_BYTES]);
    loop {
        let (length, _) = recv(&socket, &mut buffer, RecvFlags::empty())?;
        answer.read(&buffer[..length])?;
        if answer.links.len() > LINKS_MAX {
            return Err(io::Error::other(format!("there are more than {LINKS_MAX} interfaces")));
        }
        // Without a dump there is one message, and no end to wait for.
        if answer.done || flags & NLM_F_DUMP == 0 {
            return Ok((!answer.interrupted).then_some(answer.links));
        }
    }
}

fn request(flags: u16, ifindex: u32) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + INFO_BYTES).expect("two small headers");
    let mut message = Vec::with_capacity(HEADER_BYTES + INFO_BYTES);
    message.extend(length.to_ne_bytes());
    message.extend(RTM_GETLINK.to_ne_bytes());
    message.extend(flags.to_ne_bytes());
    // Sequence and port: there is one question on this socket. Then family, padding and kind of link: any.
    message.extend([0; 12]);
    message.extend(ifindex.to_ne_bytes());
    // Flags and their mask.
    message.extend([0; 8]);
    message
}

/// What has been heard so far.
#[derive(Debug, Default)]
struct Answer {
    links: Vec<Link>,
    done: bool,
    interrupted: bool,
}

impl Answer {
    fn read(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while bytes.len() >= HEADER_BYTES {
            let length = word32(bytes, 0) as usize;
            let (kind, flags) = (word16(bytes, 4), word16(bytes, 6));
            let body = bytes.get(HEADER_BYTES..length).ok_or_else(malformed)?;
            self.interrupted |= flags & NLM_F_DUMP_INTR != 0;
            match kind {
                NLMSG_DONE => self.done = true,
                NLMSG_ERROR => return Err(error_of(body)),
                RTM_NEWLINK => self.links.push(link_of(body)?),
                _ => {}
            }
            bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(())
    }
}

/// `struct nlmsgerr` begins with the negative number of the error.
fn error_of(body: &[u8]) -> io::Error {
    let number = body.get(..4).map_or(0, |_| word32(body, 0)).cast_signed();
    io::Error::from_raw_os_error(number.wrapping_neg())
}

fn link_of(body: &[u8]) -> io::Result<Link> {
    let attributes = body.get(INFO_BYTES..).ok_or_else(malformed)?;
    let (kind, ifindex) = (word16(body, 2), word32(body, 4));
    let info = find(attributes, IFLA_LINKINFO).unwrap_or_default();
    let parent = find(attributes, IFLA_LINK).filter(|value| value.len() >= 4).map(|value| word32(value, 0));
    let vid = find(info, IFLA_INFO_DATA)
        .filter(|_| find(info, IFLA_INFO_KIND).is_some_and(|kind| kind.starts_with(b"vlan\0") || kind == b"vlan"))
        .and_then(|data| find(data, IFLA_VLAN_ID))
        .filter(|value| value.len() >= 2)
        .map(|value| word16(value, 0));
    // The number of a device in another namespace may be that of one here.
    let here = find(attributes, IFLA_LINK_NETNSID).is_none();
    Ok(Link { ifindex, kind, vlan: parent.zip(vid).filter(|_| here) })
}

/// The value of the first attribute of a type.
fn find(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    const ATTRIBUTE_HEADER_BYTES: usize = 4;
    while attributes.len() >= ATTRIBUTE_HEADER_BYTES {
        let length = usize::from(word16(attributes, 0));
        let value = attributes.get(ATTRIBUTE_HEADER_BYTES..length)?;
        if word16(attributes, 2) & ATTRIBUTE_TYPE == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn malformed() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut short")
}

fn word16(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let length = u16::try_from(4 + value.len()).unwrap();
        let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend([kind.to_ne_bytes(), flags.to_ne_bytes()].concat());
        bytes.extend([0; 8]);
        bytes.extend(body);
        bytes
    }

    fn new_link(kind: u16, ifindex: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(kind.to_ne_bytes());
        body.extend(ifindex.to_ne_bytes());
        body.extend([0; 8]);
        body.extend(attributes.concat());
        message(RTM_NEWLINK, 2, &body)
    }

    fn vlan_info(vid: u16) -> Vec<u8> {
        let data = attribute(IFLA_INFO_DATA | 0x8000, &attribute(IFLA_VLAN_ID, &vid.to_ne_bytes()));
        attribute(IFLA_LINKINFO, &[attribute(IFLA_INFO_KIND, b"vlan\0"), data].concat())
    }

    #[test]
    fn a_vlan_has_its_parent_and_its_number() {
        let parent = attribute(IFLA_LINK, &2u32.to_ne_bytes());
        let name = attribute(3, b"eth0.5\0");
        let mut bytes = new_link(1, 2, &[attribute(3, b"eth0\0")]);
        bytes.extend(new_link(1, 7, &[name, parent.clone(), vlan_info(5)]));
        // One end of a veth pair has a link too, and one whose parent is elsewhere has none here.
        let veth = attribute(IFLA_LINKINFO, &attribute(IFLA_INFO_KIND, b"veth\0"));
        bytes.extend(new_link(1, 8, &[parent.clone(), veth]));
        bytes.extend(new_link(1, 9, &[parent, attribute(IFLA_LINK_NETNSID, &[0; 4]), vlan_info(5)]));
        bytes.extend(new_link(65_534, 10, &[attribute(3, b"wg0\0")]));
        bytes.extend(message(NLMSG_DONE, 2, &[0; 4]));
        let mut answer = Answer::default();
        answer.read(&bytes).unwrap();
        assert!(answer.done && !answer.interrupted);
        let found: Vec<_> =
            answer.links.iter().map(|link| (link.ifindex, link.vlan, link.carries_ethernet())).collect();
        let plain = |ifindex| (ifindex, None, true);
        assert_eq!(found, [plain(2), (7, Some((2, 5)), true), plain(8), plain(9), (10, None, false)]);
    }

    #[test]
    fn errors_and_damage_are_told() {
        let refused = Answer::default().read(&message(NLMSG_ERROR, 0, &(-19i32).to_ne_bytes())).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(19));
        let whole = new_link(1, 7, &[attribute(IFLA_LINK, &[2, 0, 0, 0]), vlan_info(5)]);
        for length in HEADER_BYTES..whole.len() {
            assert!(Answer::default().read(&whole[..length]).is_err(), "{length} bytes");
        }
        // Lengths that lie about what is inside never reach beyond it.
        for at in 0..whole.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let mut answer = Answer::default();
                let _told = answer.read(&damaged);
                assert!(answer.links.len() <= 1);
            }
        }
    }

    #[test]
    fn the_loopback_device_is_known_to_this_kernel() {
        let links = all().unwrap();
        let loopback = links.iter().find(|link| link.kind == KIND_LOOPBACK).unwrap();
        assert!(loopback.carries_ethernet());
        assert_eq!(one(loopback.ifindex).unwrap(), *loopback);
        assert!(one(u32::MAX >> 1).is_err());
    }
}
