//! Whether the limits of rules have room for a packet, and which flows are remembered so that only new ones count.

use policy::{
    Image,
    image::{FLAG_LIMIT, FLAG_TRIAL_LIMIT, Found, Half},
};

use super::{Way, rules_of};
use crate::userspace::{
    flows::{Entry, FlowKey, source_is_b},
    frame::{ICMP, ICMP6, Packet, Part, TCP},
    limits::Charge,
};

/// What the limits say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Within them, or not counted here.
    Enough,
    /// Within them, and the flow is to be known from here on.
    ForNewFlow,
    /// Over one that only observes.
    NotInTrial,
    /// Over one.
    None,
}

impl Way<'_> {
    /// An entry that lets nothing pass, unless there is one already.
    pub(super) fn remember_silently(&mut self, packet: &Packet, found: &Found) {
        if self.known(packet) {
            return;
        }
        let entry = Entry {
            generation: self.generation,
            seen_s: self.world.now_s(),
            rules: rules_of(found),
            opener_is_b: source_is_b(packet),
            keep: false,
            answered: false,
            closing: false,
            mute: true,
        };
        self.world.flows.insert(FlowKey::of(packet), entry, |entry| entry.seen_s);
    }

    /// Whether the flow of a packet is remembered. One that is only for counting lives on by this.
    fn known(&mut self, packet: &Packet) -> bool {
        let (now_s, timeouts) = (self.world.now_s(), self.world.timeouts);
        let Some(entry) = self.world.flows.get_mut(&FlowKey::of(packet)) else { return false };
        if !entry.alive(packet, &timeouts, now_s) {
            return false;
        }
        if entry.mute {
            entry.note(packet, entry.opener_is_b != source_is_b(packet), now_s);
        }
        true
    }

    /// Charges a packet that classification allows, where this node meets it first.
    pub(super) fn ask_limits(&mut self, image: &Image, packet: &Packet, found: &Found) -> Room {
        let halves = [found.ingress, found.egress];
        let limited = halves.iter().any(|half| half.flags & (FLAG_LIMIT | FLAG_TRIAL_LIMIT) != 0);
        if self.probe || !found.allow() || !limited || self.charged_elsewhere(packet) {
            return Room::Enough;
        }
        let begins = counts_flows(image, found) && self.begins(packet);
        let now_ns = self.world.now_ns();
        let charge = |trial| Charge { source: packet.src, begins, trial, now_ns };
        let enforced: Vec<_> =
            halves.iter().filter_map(enforced_limit).map(|index| image.tables.limit(index)).collect();
        if !self.world.limits.admits(&enforced, &charge(false)) {
            return Room::None;
        }
        let trial = halves.iter().filter(|half| trial_limit(half) != enforced_limit(half)).filter_map(trial_limit);
        let trial: Vec<_> = trial.map(|index| image.tables.limit(index)).collect();
        if !found.observe() && !self.world.limits.admits(&trial, &charge(true)) {
            return Room::NotInTrial;
        }
        if begins && packet.protocol != TCP { Room::ForNewFlow } else { Room::Enough }
    }

    fn charged_elsewhere(&self, packet: &Packet) -> bool {
        let at_its_vlan = packet.tags.0 != 0 && self.ifindex_of(packet) != 0;
        at_its_vlan || self.came_in.is_some_and(|device| self.world.vlans.judged.contains(&device))
    }

    fn begins(&mut self, packet: &Packet) -> bool {
        match packet.protocol {
            // What a later fragment is part of has begun.
            _ if packet.part == Part::Later => false,
            TCP => packet.bare_syn(),
            ICMP | ICMP6 if packet.answer || packet.question.is_none() => false,
            _ => !self.known(packet),
        }
    }
}

fn enforced_limit(half: &Half) -> Option<u32> {
    half.limit.filter(|_| half.flags & FLAG_LIMIT != 0)
}

fn trial_limit(half: &Half) -> Option<u32> {
    half.trial_limit.filter(|_| half.flags & FLAG_TRIAL_LIMIT != 0)
}

/// Whether a limit tells new flows from old ones.
pub(super) fn counts_flows(image: &Image, found: &Found) -> bool {
    let limits = [found.ingress, found.egress].into_iter().flat_map(|half| [enforced_limit(&half), trial_limit(&half)]);
    let mut limits = limits.flatten().map(|index| image.tables.limit(index));
    limits.any(|limit| limit.new_connections.or(limit.source_new_connections).is_some())
}
