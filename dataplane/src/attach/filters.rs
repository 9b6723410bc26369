//! The filters of a clsact hook, in the order in which packets meet them, asked of the kernel by rtnetlink (RFC 3549, rtnetlink(7)).

use std::{fmt, io};

use policy::Direction;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink::SocketAddrNetlink, recv, sendto, socket};

const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// NLM_F_REQUEST | NLM_F_DUMP.
const REQUEST_DUMP: u16 = 0x301;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and `…EGRESS` of linux/pkt_sched.h.
const PARENT_INGRESS: u32 = 0xffff_fff2;
const PARENT_EGRESS: u32 = 0xffff_fff3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_ID: u16 = 11;
/// Bytes of `struct nlmsghdr`, of `struct tcmsg`, and of an attribute's header.
const HEADER_BYTES: usize = 16;
const TCMSG_BYTES: usize = 20;
const ATTRIBUTE_BYTES: usize = 4;
/// The kernel fills no more at once (`NLMSG_GOODSIZE`, and 32 KiB for whoever asks with as much room).
const ANSWER_BYTES: usize = 32 << 10;
/// Filters that are looked at; ours is the first, or something is before it.
const FILTERS_MAX: usize = 256;

/// One filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Filter {
    pub(super) priority: u16,
    pub(super) handle: u32,
    kind: String,
    /// The number of its program, if it is one of BPF.
    pub(super) program: Option<u32>,
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of priority {}, handle {:#x}", self.kind, self.priority, self.handle)
    }
}

/// Where our filter stands among those of its hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    First,
    Behind { other: String },
    Missing,
}

/// The filters of a hook's first chain, where every packet begins.
pub(super) fn filters(ifindex: u32, direction: Direction) -> io::Result<Vec<Filter>> {
    let kernel = SocketAddrNetlink::new(0, 0);
    // The protocol 0 is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    sendto(&socket, &request(ifindex, direction), SendFlags::empty(), &kernel)?;
    let (mut found, mut answer) = (Vec::new(), vec![0; ANSWER_BYTES]);
    while found.len() < FILTERS_MAX {
        let (bytes, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
        if !read_messages(&answer[..bytes], &mut found)? {
            break;
        }
    }
    Ok(found)
}

fn request(ifindex: u32, direction: Direction) -> Vec<u8> {
    let parent = if direction == Direction::Ingress { PARENT_INGRESS } else { PARENT_EGRESS };
    let length = u32::try_from(HEADER_BYTES + TCMSG_BYTES).expect("a few dozen bytes");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(RTM_GETTFILTER.to_ne_bytes());
    bytes.extend(REQUEST_DUMP.to_ne_bytes());
    // Sequence and port: this socket asks once.
    bytes.extend([0; 8]);
    // Family; then interface, handle, parent, priority and protocol: all.
    for word in [0, ifindex, 0, parent, 0] {
        bytes.extend(word.to_ne_bytes());
    }
    bytes
}

/// Reads what one answer holds; whether there is more to come.
fn read_messages(mut bytes: &[u8], found: &mut Vec<Filter>) -> io::Result<bool> {
    while bytes.len() >= HEADER_BYTES {
        let (length, kind) = (u32_at(bytes, 0) as usize, u16_at(bytes, 4));
        let message = bytes.get(HEADER_BYTES..length).ok_or(io::ErrorKind::InvalidData)?;
        match kind {
            NLMSG_DONE => return Ok(false),
            NLMSG_ERROR => {
                let code = message.first_chunk().map_or(0, |code| i32::from_ne_bytes(*code));
                return Err(io::Error::from_raw_os_error(-code));
            }
            RTM_NEWTFILTER => found.extend(filter(message)),
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(true)
}

/// A filter of the first chain; what only says that there is a priority has no options.
fn filter(message: &[u8]) -> Option<Filter> {
    let attributes = message.get(TCMSG_BYTES..)?;
    let options = attribute(attributes, TCA_OPTIONS)?;
    if attribute(attributes, TCA_CHAIN).is_some_and(|chain| chain.len() >= 4 && u32_at(chain, 0) != 0) {
        return None;
    }
    let kind = String::from_utf8_lossy(attribute(attributes, TCA_KIND)?);
    let kind = kind.trim_end_matches('\0').to_owned();
    let program = attribute(options, TCA_BPF_ID).filter(|id| kind == "bpf" && id.len() >= 4);
    Some(Filter {
        priority: u16::try_from(u32_at(message, 16) >> 16).ok()?,
        handle: u32_at(message, 8),
        kind,
        program: program.map(|id| u32_at(id, 0)),
    })
}

/// The bytes of an attribute.
fn attribute(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while bytes.len() >= ATTRIBUTE_BYTES {
        let length = usize::from(u16_at(bytes, 0));
        let value = bytes.get(ATTRIBUTE_BYTES..length)?;
        // The two highest bits are flags (NLA_TYPE_MASK).
        if u16_at(bytes, 2) & 0x3fff == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One filter as the kernel tells of it.
    fn told(chain: u32, handle: u32, id: u32) -> Vec<u8> {
        let attribute = |kind: u16, value: &[u8]| {
            let length = u16::try_from(value.len() + ATTRIBUTE_BYTES).unwrap();
            let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
            bytes.extend(value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
            bytes
        };
        let words = [0, 7, handle, PARENT_INGRESS, 1 << 16 | 3].map(u32::to_ne_bytes).concat();
        let body = [
            words,
            attribute(TCA_KIND, b"bpf\0"),
            attribute(TCA_CHAIN, &chain.to_ne_bytes()),
            attribute(TCA_OPTIONS | 1 << 15, &attribute(TCA_BPF_ID, &id.to_ne_bytes())),
        ]
        .concat();
        let length = u32::try_from(HEADER_BYTES + body.len()).unwrap();
        [length.to_ne_bytes().to_vec(), RTM_NEWTFILTER.to_ne_bytes().to_vec(), vec![0; 10], body].concat()
    }

    #[test]
    fn filters_of_the_first_chain_are_read_in_their_order() {
        let mut found = Vec::new();
        let answer = [told(0, 9, 40), told(3, 5, 41), told(0, 0x4852, 42)].concat();
        assert!(read_messages(&answer, &mut found).unwrap());
        let filter = |handle, program| Filter { priority: 1, handle, kind: "bpf".to_owned(), program: Some(program) };
        assert_eq!(found, [filter(9, 40), filter(0x4852, 42)]);
    }

    #[test]
    fn no_answer_is_read_beyond_its_end() {
        let answer = told(0, 9, 40);
        for length in 0..answer.len() {
            let _either_way = read_messages(&answer[..length], &mut Vec::new());
        }
    }
}
