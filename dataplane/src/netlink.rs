//! Questions to the kernel by rtnetlink, and the frames of its answers (RFC 3549, netlink(7), rtnetlink(7)). What the messages mean is known
//! to those who ask.

use std::io;

use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, recv, send, socket};

const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 1;
/// NLM_F_ROOT | NLM_F_MATCH.
const NLM_F_DUMP: u16 = 0x300;
/// Something came or went while the answer was made.
const NLM_F_DUMP_INTR: u16 = 0x10;
/// The bits of an attribute's type that are no flags (NLA_TYPE_MASK).
const ATTRIBUTE_TYPE: u16 = 0x3fff;
/// Bytes of `struct nlmsghdr`, and of an attribute's header.
const HEADER_BYTES: usize = 16;
const ATTRIBUTE_BYTES: usize = 4;
/// The kernel fills no more at once (`NLMSG_GOODSIZE`, and 32 KiB for whoever asks with as much room).
const ANSWER_BYTES: usize = 32 << 10;

/// How much is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// One thing: there is one message, and no end to wait for.
    One,
    /// Everything that the question names.
    All,
}

/// How far an answer is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Nothing more comes.
    pub(crate) is_done: bool,
    /// It may lack something, or have it twice.
    pub(crate) is_interrupted: bool,
}

/// Asks, and shows each message of the answer: its kind, and what is behind its header. False: the answer was interrupted.
pub(crate) fn ask(
    kind: u16,
    asked: Asked,
    body: &[u8],
    mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<bool> {
    // The protocol 0 is NETLINK_ROUTE.
    let socket = socket(AddressFamily::NETLINK, SocketType::RAW, None)?;
    let flags = if asked == Asked::All { NLM_F_REQUEST | NLM_F_DUMP } else { NLM_F_REQUEST };
    send(&socket, &message(kind, flags, body), SendFlags::empty())?;
    let (mut progress, mut answer) = (Progress::default(), vec![0; ANSWER_BYTES]);
    loop {
        let (bytes, _) = recv(&socket, answer.as_mut_slice(), RecvFlags::empty())?;
        read(&answer[..bytes], &mut progress, &mut each)?;
        if progress.is_done || asked == Asked::One {
            return Ok(!progress.is_interrupted);
        }
    }
}

/// A message. Sequence and port are 0: there is one question on a socket.
pub(crate) fn message(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_BYTES + body.len()).expect("a question has a few dozen bytes");
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    bytes.extend([0; 8]);
    bytes.extend(body);
    bytes
}

/// Reads what came at once.
pub(crate) fn read(
    mut bytes: &[u8],
    progress: &mut Progress,
    mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    while bytes.len() >= HEADER_BYTES {
        let length = u32_at(bytes, 0) as usize;
        let (kind, flags) = (u16_at(bytes, 4), u16_at(bytes, 6));
        let body = bytes.get(HEADER_BYTES..length).ok_or_else(cut_short)?;
        progress.is_interrupted |= flags & NLM_F_DUMP_INTR != 0;
        match kind {
            NLMSG_DONE => progress.is_done = true,
            NLMSG_ERROR => return Err(error_of(body)),
            other => each(other, body)?,
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// `struct nlmsgerr` begins with the negative number of the error.
fn error_of(body: &[u8]) -> io::Error {
    let number = body.get(..4).map_or(0, |_| u32_at(body, 0)).cast_signed();
    io::Error::from_raw_os_error(number.wrapping_neg())
}

/// An attribute of a question.
pub(crate) fn attribute_of(kind: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ATTRIBUTE_BYTES + value.len()).expect("a question has a few dozen bytes");
    let mut bytes = [length.to_ne_bytes(), kind.to_ne_bytes()].concat();
    bytes.extend(value);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// The value of the first attribute of a type.
pub(crate) fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while attributes.len() >= ATTRIBUTE_BYTES {
        let length = usize::from(u16_at(attributes, 0));
        let value = attributes.get(ATTRIBUTE_BYTES..length)?;
        if u16_at(attributes, 2) & ATTRIBUTE_TYPE == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// A message that ends before it should.
pub(crate) fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut short")
}

/// Two bytes of a message that is long enough.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

/// Four bytes of a message that is long enough.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nothing(_: u16, _: &[u8]) -> io::Result<()> {
        Ok(())
    }

    #[test]
    fn the_end_an_interruption_and_an_error_are_told() {
        let mut progress = Progress::default();
        let many = [message(16, 2, &[0; 4]), message(16, NLM_F_DUMP_INTR, &[0; 4])].concat();
        read(&many, &mut progress, nothing).unwrap();
        assert_eq!(progress, Progress { is_done: false, is_interrupted: true });
        read(&message(NLMSG_DONE, 2, &[0; 4]), &mut progress, nothing).unwrap();
        assert_eq!(progress, Progress { is_done: true, is_interrupted: true });
        let refused = read(&message(NLMSG_ERROR, 0, &(-19i32).to_ne_bytes()), &mut progress, nothing).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(19));
    }

    #[test]
    fn attributes_are_found_whatever_their_flags_and_none_beyond_the_end() {
        let attributes = [attribute_of(3, b"eth0\0"), attribute_of(5 | 1 << 15, &[1, 2])].concat();
        assert_eq!(attribute(&attributes, 5), Some(&[1, 2][..]));
        assert_eq!(attribute(&attributes, 6), None);
        for length in 0..attributes.len() - 2 {
            assert_eq!(attribute(&attributes[..length], 5), None);
        }
    }

    #[test]
    fn no_answer_is_read_beyond_its_end() {
        let whole = message(16, 2, &[7; 20]);
        for length in HEADER_BYTES..whole.len() {
            assert!(read(&whole[..length], &mut Progress::default(), nothing).is_err(), "{length} bytes");
        }
        for length in [0u32, 1, 15, 37, 1 << 31] {
            let damaged = [&length.to_ne_bytes()[..], &whole[4..]].concat();
            assert!(read(&damaged, &mut Progress::default(), nothing).is_err(), "{length}");
        }
    }
}
