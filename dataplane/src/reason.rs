//! Why a packet passed or was dropped: the numbers of `bpf/reasons.h`, which are counter indices and never change their meaning.

use std::fmt;

/// The first number at which the packet is dropped.
pub const DROP_FIRST: u32 = 32;

macro_rules! reasons {
    ($($variant:ident = $number:literal, $name:literal, $text:literal;)*) => {
        /// Why a packet passed or was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum Reason { $(#[doc = $text] $variant = $number,)* }

        impl Reason {
            /// Every reason, by number.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)*];

            /// The reason of a number; `None` if there is none.
            pub fn from_number(number: u32) -> Option<Reason> {
                match number {
                    $($number => Some(Reason::$variant),)*
                    _ => None,
                }
            }

            /// The name in the API, in metrics and in the manual.
            pub fn name(self) -> &'static str {
                match self { $(Reason::$variant => $name,)* }
            }

            /// One line for a person.
            pub fn description(self) -> &'static str {
                match self { $(Reason::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    None = 0, "none", "Not judged.";
    NotIp = 1, "not-ip", "ARP and whatever else is not IP.";
    Guard = 2, "guard", "A sync flow between members.";
    Join = 3, "join", "The cluster port, from or to a joiner of the cluster subnet.";
    LinkSupport = 4, "link-support", "Neighbour discovery, multicast listeners, IGMP.";
    Disarmed = 5, "disarmed", "`hedgerow disarm` is in force.";
    NoPolicy = 6, "no-policy", "No revision has ever been activated here.";
    Allowed = 7, "allowed", "Both directions allow.";
    Observed = 8, "observed", "Passes only because a policy is in observe mode.";
    Reply = 9, "reply", "Leaves as the answer to an allowed inbound flow.";
    Established = 10, "established", "Answer to a flow that this node opened or forwarded.";
    PickedUp = 11, "picked-up", "Mid-flow segment that looks like an answer and whose reversed tuple is allowed.";
    Kept = 12, "kept", "Flow of a rule with `existingFlows: keep`.";
    Quoted = 13, "quoted", "ICMP error about a flow that may pass.";
    FragmentFollows = 14, "fragment-follows", "Later fragment of a first fragment that passed, and as such allowed by policy.";
    Denied = 32, "denied", "A direction denies.";
    Tightened = 33, "tightened", "Established flow that the live revision no longer allows.";
    Spoofed = 34, "spoofed", "A member's address on an interface where it does not live.";
    Truncated = 35, "truncated", "A header ends behind the frame.";
    BadHeader = 36, "bad-header", "Version or header length that cannot be.";
    BadLength = 37, "bad-length", "A length field that contradicts the frame or another one.";
    BadTcpFlags = 38, "bad-tcp-flags", "SYN+FIN, SYN+RST, or none of SYN, ACK and RST.";
    TinyFragment = 39, "tiny-fragment", "First fragment without the whole transport header.";
    FragmentOverlap = 40, "fragment-overlap", "Later fragment that would overwrite the first.";
    FragmentUnknown = 41, "fragment-unknown", "Later fragment whose first was not seen, or was dropped.";
    FragmentDenied = 42, "fragment-denied", "Later fragment of a datagram of which another first fragment was dropped.";
    ExtensionChain = 43, "extension-chain", "More IPv6 extension headers than are walked, or one out of place.";
    UnknownExtension = 44, "unknown-extension", "IPv6 extension header that is not known.";
    RoutingHeader = 45, "routing-header", "IPv6 routing header of type 0 (RFC 5095).";
    VlanDepth = 46, "vlan-depth", "More than two VLAN tags.";
    RateLimited = 47, "rate-limited", "Over the limit of the rule that allows it.";
}

impl Reason {
    /// The number in the kernel's counters.
    pub fn number(self) -> u32 {
        self as u32
    }

    /// Whether a packet with this reason goes on.
    pub fn passes(self) -> bool {
        self.number() < DROP_FIRST
    }

    /// Whether it is the guard that let the packet pass.
    pub fn is_guard(self) -> bool {
        matches!(self, Reason::Guard | Reason::Join | Reason::LinkSupport)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::UNTOLD;

    /// `HR_NAME = number` of the header, as (name in the API, number).
    fn in_header() -> Vec<(String, u32)> {
        let lines = include_str!("../bpf/reasons.h").lines();
        let entries = lines.filter_map(|line| line.trim().strip_prefix("HR_")?.split_once(" = "));
        entries
            .map(|(name, rest)| {
                let number = rest.split(',').next().unwrap().trim().parse().unwrap();
                (name.to_lowercase().replace('_', "-"), number)
            })
            .collect()
    }

    #[test]
    fn reasons_are_those_of_the_header() {
        let mut header = in_header();
        header.retain(|(name, _)| name != "drop-first" && name != "untold" && name != "reasons");
        let here: Vec<(String, u32)> = Reason::ALL.iter().map(|r| (r.name().to_owned(), r.number())).collect();
        assert_eq!(here, header);
        assert!(in_header().contains(&("drop-first".to_owned(), DROP_FIRST)));
        assert!(in_header().contains(&("untold".to_owned(), UNTOLD)));
    }

    #[test]
    fn numbers_are_read_back() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_number(reason.number()), Some(*reason));
        }
        assert_eq!(Reason::from_number(63), None);
    }
}
