//! The filters of a clsact hook, in the order in which packets meet them, asked of the kernel by rtnetlink.

use std::{fmt, io};

use policy::Direction;

use crate::netlink::{self, Asked, attribute, u32_at};

const RTM_NEWTFILTER: u16 = 44;
const RTM_GETTFILTER: u16 = 46;
/// `TC_H_MAKE(TC_H_CLSACT, TC_H_MIN_INGRESS)` and `…EGRESS` of linux/pkt_sched.h.
const PARENT_INGRESS: u32 = 0xffff_fff2;
const PARENT_EGRESS: u32 = 0xffff_fff3;
const TCA_KIND: u16 = 1;
const TCA_OPTIONS: u16 = 2;
const TCA_CHAIN: u16 = 11;
const TCA_BPF_ID: u16 = 11;
/// Bytes of `struct tcmsg`.
const TCMSG_BYTES: usize = 20;
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

/// The filters of a hook's first chain, where every packet begins. What changes meanwhile is seen when the hook is looked at again.
pub(super) fn filters(ifindex: u32, direction: Direction) -> io::Result<Vec<Filter>> {
    let parent = if direction == Direction::Ingress { PARENT_INGRESS } else { PARENT_EGRESS };
    // Family; then interface, handle, parent, priority and protocol: all.
    let question = [0, ifindex, 0, parent, 0].map(u32::to_ne_bytes).concat();
    let mut found = Vec::new();
    netlink::ask(RTM_GETTFILTER, Asked::All, &question, |kind, message| {
        keep(kind, message, &mut found);
        Ok(())
    })?;
    Ok(found)
}

fn keep(kind: u16, message: &[u8], found: &mut Vec<Filter>) {
    if kind == RTM_NEWTFILTER && found.len() < FILTERS_MAX {
        found.extend(filter(message));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::attribute_of;

    /// One filter as the kernel tells of it.
    fn told(chain: u32, handle: u32, id: u32) -> Vec<u8> {
        [
            [0, 7, handle, PARENT_INGRESS, 1 << 16 | 3].map(u32::to_ne_bytes).concat(),
            attribute_of(TCA_KIND, b"bpf\0"),
            attribute_of(TCA_CHAIN, &chain.to_ne_bytes()),
            attribute_of(TCA_OPTIONS | 1 << 15, &attribute_of(TCA_BPF_ID, &id.to_ne_bytes())),
        ]
        .concat()
    }

    #[test]
    fn filters_of_the_first_chain_are_read_in_their_order() {
        let mut found = Vec::new();
        for message in [told(0, 9, 40), told(3, 5, 41), told(0, 0x4852, 42)] {
            keep(RTM_NEWTFILTER, &message, &mut found);
        }
        let filter = |handle, program| Filter { priority: 1, handle, kind: "bpf".to_owned(), program: Some(program) };
        assert_eq!(found, [filter(9, 40), filter(0x4852, 42)]);
    }

    #[test]
    fn no_filter_is_read_beyond_its_end() {
        let whole = told(0, 9, 40);
        for length in 0..whole.len() {
            assert_eq!(filter(&whole[..length]), None, "{length} bytes");
        }
    }
}
