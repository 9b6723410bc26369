//! What the kernel says of network interfaces, by rtnetlink: whether they carry Ethernet, and which is a VLAN of which other one.
//!
//! Not from `/sys` or `/proc`: the one may show another network namespace than this thread's, and the VLAN table of the other is root's own,
//! which an agent without CAP_DAC_OVERRIDE cannot read. Asking takes no capability.

use std::io;

use rustix::net::{AddressFamily, SocketType, netdevice::index_to_name, socket};

use crate::netlink::{self, Asked, attribute, u16_at, u32_at};

/// `ARPHRD_ETHER`.
const KIND_ETHERNET: u16 = 1;
/// `ARPHRD_LOOPBACK`; its frames have Ethernet headers too.
const KIND_LOOPBACK: u16 = 772;

const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;

const IFLA_LINK: u16 = 5;
const IFLA_LINKINFO: u16 = 18;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_VLAN_ID: u16 = 1;

/// Bytes of `struct ifinfomsg`.
const INFO_BYTES: usize = 16;
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

/// Every VLAN of this thread's network namespace. Asked for again and again: the kernel leaves out what is none, if it knows VLANs.
pub(crate) fn vlans() -> io::Result<Vec<Link>> {
    for _ in 0..DUMPS_MAX {
        if let Some(mut links) = ask(Asked::All, &question(0, &of_driver(b"vlan")))? {
            links.retain(|link| link.vlan.is_some());
            return Ok(links);
        }
    }
    Err(io::Error::other("the interfaces change all the time; try again when they have settled"))
}

/// One interface of this thread's network namespace.
pub(crate) fn one(ifindex: u32) -> io::Result<Link> {
    let links = ask(Asked::One, &question(ifindex, &[]))?.unwrap_or_default();
    links.into_iter().find(|link| link.ifindex == ifindex).ok_or_else(|| io::ErrorKind::NotFound.into())
}

/// The name that an interface has now.
pub(crate) fn name_of(ifindex: u32) -> io::Result<String> {
    // Any socket will do to ask; those for rtnetlink are allowed.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    Ok(index_to_name(socket, ifindex)?)
}

/// `struct ifinfomsg` and what is behind it; the number 0 is any.
fn question(ifindex: u32, attributes: &[u8]) -> Vec<u8> {
    // Family, padding and kind of link: any. Behind the number flags and their mask.
    [&[0, ifindex, 0, 0].map(u32::to_ne_bytes).concat(), attributes].concat()
}

fn of_driver(name: &[u8]) -> Vec<u8> {
    netlink::attribute_of(IFLA_LINKINFO, &netlink::attribute_of(IFLA_INFO_KIND, name))
}

/// `None`: the answer was interrupted.
fn ask(asked: Asked, question: &[u8]) -> io::Result<Option<Vec<Link>>> {
    let mut links = Vec::new();
    let is_whole = netlink::ask(RTM_GETLINK, asked, question, |kind, message| keep(kind, message, &mut links))?;
    Ok(is_whole.then_some(links))
}

fn keep(kind: u16, message: &[u8], links: &mut Vec<Link>) -> io::Result<()> {
    if kind != RTM_NEWLINK {
        return Ok(());
    }
    if links.len() == LINKS_MAX {
        return Err(io::Error::other(format!("there are more than {LINKS_MAX} interfaces")));
    }
    links.push(link_of(message)?);
    Ok(())
}

fn link_of(body: &[u8]) -> io::Result<Link> {
    let attributes = body.get(INFO_BYTES..).ok_or_else(netlink::cut_short)?;
    let (kind, ifindex) = (u16_at(body, 2), u32_at(body, 4));
    let info = attribute(attributes, IFLA_LINKINFO).unwrap_or_default();
    let parent = attribute(attributes, IFLA_LINK).filter(|value| value.len() >= 4).map(|value| u32_at(value, 0));
    let vid = attribute(info, IFLA_INFO_DATA)
        .filter(|_| attribute(info, IFLA_INFO_KIND).is_some_and(|kind| kind.starts_with(b"vlan\0") || kind == b"vlan"))
        .and_then(|data| attribute(data, IFLA_VLAN_ID))
        .filter(|value| value.len() >= 2)
        .map(|value| u16_at(value, 0));
    // The number of a device in another namespace may be that of one here.
    let here = attribute(attributes, IFLA_LINK_NETNSID).is_none();
    Ok(Link { ifindex, kind, vlan: parent.zip(vid).filter(|_| here) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute_of;

    fn new_link(kind: u16, ifindex: u32, attributes: &[Vec<u8>]) -> Vec<u8> {
        let mut body = vec![0, 0];
        body.extend(kind.to_ne_bytes());
        body.extend(ifindex.to_ne_bytes());
        body.extend([0; 8]);
        body.extend(attributes.concat());
        body
    }

    fn vlan_info(vid: u16) -> Vec<u8> {
        let data = attribute_of(IFLA_INFO_DATA | 0x8000, &attribute_of(IFLA_VLAN_ID, &vid.to_ne_bytes()));
        attribute_of(IFLA_LINKINFO, &[attribute_of(IFLA_INFO_KIND, b"vlan\0"), data].concat())
    }

    #[test]
    fn a_vlan_has_its_parent_and_its_number() {
        let parent = attribute_of(IFLA_LINK, &2u32.to_ne_bytes());
        let name = attribute_of(3, b"eth0.5\0");
        // One end of a veth pair has a link too, and one whose parent is elsewhere has none here.
        let veth = attribute_of(IFLA_LINKINFO, &attribute_of(IFLA_INFO_KIND, b"veth\0"));
        let messages = [
            new_link(1, 2, &[attribute_of(3, b"eth0\0")]),
            new_link(1, 7, &[name, parent.clone(), vlan_info(5)]),
            new_link(1, 8, &[parent.clone(), veth]),
            new_link(1, 9, &[parent, attribute_of(IFLA_LINK_NETNSID, &[0; 4]), vlan_info(5)]),
            new_link(65_534, 10, &[attribute_of(3, b"wg0\0")]),
        ];
        let mut links = Vec::new();
        messages.iter().for_each(|message| keep(RTM_NEWLINK, message, &mut links).unwrap());
        let found: Vec<_> = links.iter().map(|link| (link.ifindex, link.vlan, link.carries_ethernet())).collect();
        let plain = |ifindex| (ifindex, None, true);
        assert_eq!(found, [plain(2), (7, Some((2, 5)), true), plain(8), plain(9), (10, None, false)]);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn what_a_kernel_said_of_its_vlans_is_read() {
        let text = include_str!("../tests/recorded/vlans-6.1.txt").lines().filter(|line| !line.starts_with('#'));
        let bytes = text.flat_map(str::split_whitespace).map(|byte| u8::from_str_radix(byte, 16).unwrap());
        let (mut links, mut progress) = (Vec::new(), netlink::Progress::default());
        let answer: Vec<u8> = bytes.collect();
        netlink::read(&answer, &mut progress, |kind, message| keep(kind, message, &mut links)).unwrap();
        assert_eq!(progress, netlink::Progress { is_done: true, is_interrupted: false });
        let vlan = |ifindex, vlan| Link { ifindex, kind: KIND_ETHERNET, vlan: Some(vlan) };
        assert_eq!(links, [vlan(3, (2, 5)), vlan(4, (3, 7))]);
    }

    #[test]
    fn damage_is_told() {
        let whole = new_link(1, 7, &[attribute_of(IFLA_LINK, &[2, 0, 0, 0]), vlan_info(5)]);
        for length in 0..INFO_BYTES {
            assert!(link_of(&whole[..length]).is_err(), "{length} bytes");
        }
        // Lengths that lie about what is inside never reach beyond it.
        for at in 0..whole.len() {
            for value in [0, 1, 3, 0x7f, 0xff] {
                let mut damaged = whole.clone();
                damaged[at] = value;
                let _either_way = link_of(&damaged);
            }
        }
    }

    #[test]
    fn the_loopback_device_is_known_to_this_kernel() {
        let links = ask(Asked::All, &question(0, &[])).unwrap().unwrap();
        let loopback = links.iter().find(|link| link.kind == KIND_LOOPBACK).unwrap();
        assert!(loopback.carries_ethernet());
        assert_eq!(name_of(loopback.ifindex).unwrap(), "lo");
        assert_eq!(one(loopback.ifindex).unwrap(), *loopback);
        assert!(!vlans().unwrap().contains(loopback));
        assert!(one(u32::MAX >> 1).is_err());
    }
}
