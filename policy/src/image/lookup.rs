//! The look-ups, step for step what the kernel programs do.

use std::net::IpAddr;

use super::{
    CHUNK_ENTRIES, CLASS_PART_WORDS, CLASS_SIDE_WORDS, ENTRY_BRANCH, ENTRY_INDEX, ENTRY_SKIP, FLAG_ALLOW, FLAG_CUT,
    FLAG_DECIDED, FLAG_KEEP, FLAG_LIMIT, FLAG_LOG, FLAG_TRIAL_ALLOW, FLAG_TRIAL_DECIDED, FLAG_TRIAL_LIMIT,
    FLAG_TRIAL_LOG, FLAGS_ENFORCED, FLAGS_TRIAL, Image, LAYERS, NONE, PORT_BLOCK_ENTRIES, PORT_BLOCKS, PORT_OTHERS,
    STEPS_V4_MAX, STEPS_V6_MAX, Tables, VERDICT_ONLY, limit::limits_of_word, root4_index,
};
use crate::{
    packet::Flow,
    verdict::{Decision, Verdict},
};

impl Image {
    /// The decision on a flow, as the kernel makes it.
    pub fn classify(&self, flow: &Flow) -> Decision {
        let found = self.tables.classify(flow.src, flow.dst, flow.protocol, flow.dst_port);
        let (ingress, egress) = found.rules();
        Decision {
            verdict: if found.allow() { Verdict::Allow } else { Verdict::Deny },
            ingress: self.rules[ingress as usize].reference,
            egress: self.rules[egress as usize].reference,
            observe: found.observe(),
            log: found.log(),
            keep: found.keep(),
            limited: found.limited(),
        }
    }
}

/// What one direction says of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Half {
    /// `FLAG_*` bits, of the layers that decided.
    pub flags: u32,
    /// The rule that decided.
    pub rule: u32,
    /// The limits of that rule, an index into [`Tables::limits`].
    pub limit: Option<u32>,
    /// The rule that would decide if policies in observe mode were enforced.
    pub trial: u32,
    /// The limits of that rule.
    pub trial_limit: Option<u32>,
}

/// What both directions say of a packet. The fields of [`Decision`](crate::Decision) follow from it with a few bit operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The destination's ingress.
    pub ingress: Half,
    /// The source's egress.
    pub egress: Half,
}

impl Found {
    /// Whether the packet passes: both directions allow.
    pub fn allow(&self) -> bool {
        self.both(FLAG_ALLOW)
    }

    /// Whether the packet passes only because a policy is in observe mode.
    pub fn observe(&self) -> bool {
        self.allow() && !self.both(FLAG_TRIAL_ALLOW)
    }

    /// Whether a rule that is reported wants the packet logged.
    pub fn log(&self) -> bool {
        self.either(if self.observe() { FLAG_TRIAL_LOG } else { FLAG_LOG })
    }

    /// Whether the flow outlives a revision that no longer allows it.
    pub fn keep(&self) -> bool {
        self.allow() && self.either(FLAG_KEEP) && !self.either(FLAG_CUT)
    }

    /// Whether the packet passes and a rule that is reported has limits.
    pub fn limited(&self) -> bool {
        self.allow() && self.either(if self.observe() { FLAG_TRIAL_LIMIT } else { FLAG_LIMIT })
    }

    /// The rules at which the packet is counted: of the trial where observing makes the difference, else the deciding ones.
    pub fn rules(&self) -> (u32, u32) {
        if self.observe() { (self.ingress.trial, self.egress.trial) } else { (self.ingress.rule, self.egress.rule) }
    }

    fn both(&self, flag: u32) -> bool {
        self.ingress.flags & self.egress.flags & flag != 0
    }

    fn either(&self, flag: u32) -> bool {
        (self.ingress.flags | self.egress.flags) & flag != 0
    }
}

/// Where a direction begins in an element of `classes`.
const INGRESS: usize = 0;
const EGRESS: usize = CLASS_SIDE_WORDS;

impl Tables {
    /// Classifies a packet. For ICMP and ICMPv6 the port is `type << 8 | code`.
    ///
    /// # Panics
    /// If the tables were not made by the compiler and hold an index that is out of range.
    pub fn classify(&self, src: IpAddr, dst: IpAddr, protocol: u8, dst_port: u16) -> Found {
        let src = words_before(self.class_of(src));
        let dst = words_before(self.class_of(dst));
        let port = self.port_of(protocol, dst_port);
        Found {
            ingress: self.half(dst + INGRESS, src + INGRESS, port),
            egress: self.half(src + EGRESS, dst + EGRESS, port),
        }
    }

    /// The place of the address class of an address.
    pub fn class_of(&self, addr: IpAddr) -> u32 {
        match addr {
            IpAddr::V4(addr) => {
                let word = addr.to_bits();
                self.walk(self.root4[root4_index(word)], [word, 0, 0, 0], STEPS_V4_MAX)
            }
            IpAddr::V6(addr) => {
                let words = words_of(addr.to_bits());
                self.walk(self.root6[(words[0] >> 16) as usize], words, STEPS_V6_MAX)
            }
        }
    }

    fn walk(&self, root: u32, words: [u32; 4], steps_max: usize) -> u32 {
        let mut entry = root;
        let mut depth = 2;
        for _ in 0..=steps_max {
            if entry & ENTRY_BRANCH == 0 {
                return entry;
            }
            let index = (entry & ENTRY_INDEX) as usize;
            if entry & ENTRY_SKIP == 0 {
                entry = self.chunks[index * CHUNK_ENTRIES + byte(&words, depth)];
                depth += 1;
            } else {
                let skip = &self.skips[index * 8..index * 8 + 8];
                if starts_with(&words, &skip[..4], skip[4]) {
                    entry = skip[5];
                    depth = skip[4] as usize / 8;
                } else {
                    entry = skip[6];
                }
            }
        }
        0
    }

    /// Port class and port group of a protocol and port.
    pub fn port_of(&self, protocol: u8, port: u16) -> u32 {
        let index = match PORT_BLOCKS.iter().position(|&block| block == protocol) {
            Some(block) => block * PORT_BLOCK_ENTRIES + usize::from(port),
            None => PORT_OTHERS + usize::from(protocol),
        };
        self.ports[index]
    }

    /// What one direction says; `subject` and `peer` are where it begins in their classes.
    fn half(&self, subject: usize, peer: usize, port: u32) -> Half {
        let mut enforced = None;
        let mut trial = None;
        for layer in 0..LAYERS {
            let offset = layer * CLASS_PART_WORDS;
            if let Some(verdict) = self.layer(subject + offset, peer + offset, port) {
                enforced = enforced.or(self.decided(verdict, FLAG_DECIDED));
                trial = trial.or(self.decided(verdict, FLAG_TRIAL_DECIDED));
            }
        }
        let [enforced, trial] = [enforced, trial].map(|verdict| self.verdict(verdict.expect("the last layer decides")));
        let ([limit, _], [_, trial_limit]) = (limits_of_word(enforced[2]), limits_of_word(trial[2]));
        Half {
            flags: enforced[0] & FLAGS_ENFORCED | trial[0] & FLAGS_TRIAL,
            rule: enforced[1],
            limit,
            trial: trial[3],
            trial_limit,
        }
    }

    fn decided(&self, verdict: u32, flag: u32) -> Option<u32> {
        (self.verdict(verdict)[0] & flag != 0).then_some(verdict)
    }

    /// The verdict of one layer, if it has a say.
    fn layer(&self, subject: usize, peer: usize, port: u32) -> Option<u32> {
        let [row, cells] = [self.classes[subject], self.classes[subject + 1]];
        let [col, group] = [self.classes[peer + 2], self.classes[peer + 3]];
        if row == NONE {
            return None;
        }
        if row & VERDICT_ONLY != 0 {
            return Some(row & !VERDICT_ONLY);
        }
        let pair = exception(&self.cells, cells, col).unwrap_or_else(|| self.base[(row + group) as usize]);
        if pair & VERDICT_ONLY != 0 {
            return Some(pair & !VERDICT_ONLY);
        }
        let pair = element(&self.pairs, pair);
        let class = port & 0xffff;
        let verdict = exception(&self.vcells, pair[0], class).or_else(|| exception(&self.vcells, pair[1], class));
        Some(verdict.unwrap_or_else(|| self.vbase[(pair[2] + (port >> 16)) as usize]))
    }

    fn verdict(&self, verdict: u32) -> &[u32; 4] {
        element(&self.verdicts, verdict)
    }
}

/// Words of a table before a place.
fn words_before(place: u32) -> usize {
    place as usize / size_of::<u32>()
}

/// The element of four words at a place.
fn element(table: &[u32], place: u32) -> &[u32; 4] {
    table[words_before(place)..].first_chunk().expect("elements are whole")
}

/// The value at `cells + column`, if there are cells and that one is theirs.
fn exception(table: &[u32], cells: u32, column: u32) -> Option<u32> {
    if cells == NONE {
        return None;
    }
    let index = (cells + column) as usize * 2;
    (table[index] == cells).then(|| table[index + 1])
}

fn byte(words: &[u32; 4], depth: usize) -> usize {
    (words[depth / 4] >> (24 - depth % 4 * 8)) as usize & 0xff
}

fn starts_with(words: &[u32; 4], prefix: &[u32], bits: u32) -> bool {
    (0..4).all(|i| {
        let here = bits.saturating_sub(i * 32).min(32);
        let mask = if here == 0 { 0 } else { u32::MAX << (32 - here) };
        words[i as usize] & mask == prefix[i as usize]
    })
}

/// The four words of a 128-bit address, first bits first.
pub(crate) fn words_of(addr: u128) -> [u32; 4] {
    let bytes = addr.to_be_bytes();
    std::array::from_fn(|i| u32::from_be_bytes([bytes[i * 4], bytes[i * 4 + 1], bytes[i * 4 + 2], bytes[i * 4 + 3]]))
}
