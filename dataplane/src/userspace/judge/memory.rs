//! What is remembered of a packet that passes: the mirror of the last part of `bpf/state.h`.

use policy::{Direction, Image, image::Found};

use super::{
    Way, classify, enough, looks_like_answer,
    room::{Asked, counts_flows},
    rules_of,
};
use crate::userspace::{
    flows::{Entry, FlowKey, source_is_b},
    frame::{FIN, ICMP, ICMP6, Packet, Part, RST, TCP},
};

/// What an entry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Purpose {
    Nothing,
    /// So that a limit of new connections counts the flow once: it speaks for nobody.
    Counting,
    Answers,
    BothWays,
    /// The packet is an answer in it.
    BothWaysBack,
}

impl Way<'_> {
    /// Remembers what a packet opens, or how it ends.
    pub(super) fn remember(&mut self, image: &Image, packet: &Packet, found: &Found, asked: Asked) {
        if self.probe {
            return;
        }
        let (leaves, keep) = (self.hook.direction == Direction::Egress, found.keep());
        if !asked.fresh && !opens(packet, self.hook.direction, keep) {
            if leaves || keep {
                self.note_end(packet);
            }
            return;
        }
        match self.purpose(image, packet, found, asked) {
            Purpose::Nothing => {}
            Purpose::Counting => self.remember_silently(packet, found, asked.over),
            purpose => self.remember_flow(packet, found, purpose, asked.over),
        }
    }

    fn purpose(&self, image: &Image, packet: &Packet, found: &Found, asked: Asked) -> Purpose {
        let reversed = classify(image, packet, true);
        if found.keep() {
            if !looks_like_answer(packet) {
                return Purpose::BothWays;
            }
            // Who has opened it decides on what ends it (G19).
            if reversed.allow() && reversed.keep() {
                return Purpose::BothWaysBack;
            }
            if packet.protocol == TCP {
                return Purpose::Nothing;
            }
        }
        // Otherwise what arrives never makes an entry that would let something pass.
        if self.hook.direction == Direction::Ingress {
            return if asked.fresh { Purpose::Counting } else { Purpose::Nothing };
        }
        if !enough(&reversed, true) {
            return Purpose::Answers;
        }
        // The answers pass without an entry; but those of UDP must not be taken for new flows.
        let counted = asked.fresh || (packet.protocol != TCP && counts_flows(image, &reversed));
        if counted { Purpose::Counting } else { Purpose::Nothing }
    }

    /// An entry that lets nothing pass, unless there is one already.
    pub(super) fn remember_silently(&mut self, packet: &Packet, found: &Found, over: bool) {
        if self.known(packet).is_none() {
            let entry = Entry { mute: true, over, ..self.entry(packet, rules_of(found)) };
            self.insert(packet, entry);
        }
    }

    fn remember_flow(&mut self, packet: &Packet, found: &Found, purpose: Purpose, over: bool) {
        let (key, now_s, timeouts) = (FlowKey::of(packet), self.world.now_s(), self.world.timeouts);
        let (from_b, keep, back) =
            (source_is_b(packet), purpose >= Purpose::BothWays, purpose == Purpose::BothWaysBack);
        let fresh = Entry { keep, over, ..self.entry(packet, rules_of(found)) };
        match self.world.flows.get_mut(&key) {
            Some(entry)
                if !entry.mute
                    && entry.alive(packet, &timeouts, now_s)
                    && entry.keep >= keep
                    && (entry.keep || entry.opener_is_b == from_b)
                    && !(entry.closing && packet.bare_syn()) =>
            {
                let answers = entry.opener_is_b != from_b;
                if entry.generation != self.generation && !answers {
                    (entry.generation, entry.rules, entry.keep) = (fresh.generation, fresh.rules, keep);
                }
                entry.note(packet, answers, now_s);
            }
            // What was found is of the packet; the next one asks for the rules of the opening tuple.
            _ if back => self.insert(packet, Entry { generation: 0, opener_is_b: !from_b, answered: true, ..fresh }),
            _ => self.insert(packet, fresh),
        }
    }

    /// Only a rule that keeps its flows wants an entry: the reversed tuple says yes to the next segment too.
    pub(super) fn keep_picked_up(&mut self, packet: &Packet, rules: (u32, u32)) {
        if self.probe {
            return;
        }
        let opening = self.entry(packet, rules);
        let closing = packet.flags & (FIN | RST) != 0;
        self.insert(
            packet,
            Entry { opener_is_b: !opening.opener_is_b, keep: true, answered: true, closing, ..opening },
        );
    }

    /// Notes the end of a connection that is remembered. What answers is noted where state is asked; this is of the opener.
    fn note_end(&mut self, packet: &Packet) {
        let (now_s, timeouts) = (self.world.now_s(), self.world.timeouts);
        if packet.protocol == TCP
            && packet.flags & (FIN | RST) != 0
            && let Some(entry) = self.world.flows.get_mut(&FlowKey::of(packet))
            && entry.alive(packet, &timeouts, now_s)
        {
            entry.note(packet, false, now_s);
        }
    }

    /// An entry of which this packet is the first one.
    fn entry(&self, packet: &Packet, rules: (u32, u32)) -> Entry {
        Entry {
            generation: self.generation,
            seen_s: self.world.now_s(),
            rules,
            opener_is_b: source_is_b(packet),
            keep: false,
            answered: false,
            closing: false,
            mute: false,
            over: false,
        }
    }

    fn insert(&mut self, packet: &Packet, entry: Entry) {
        self.world.flows.insert(FlowKey::of(packet), entry, |entry| entry.seen_s);
    }
}

fn opens(packet: &Packet, direction: Direction, keep: bool) -> bool {
    let leaves = direction == Direction::Egress;
    match packet.protocol {
        _ if packet.part == Part::Later => false,
        ICMP | ICMP6 => packet.question.is_some() && !packet.answer && (keep || leaves),
        TCP if keep => packet.flags & RST == 0,
        TCP => leaves && packet.bare_syn(),
        _ => keep || leaves,
    }
}
