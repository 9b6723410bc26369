//! Whether the limits of rules have room for a packet, and which flows are remembered so that only new ones count.

use policy::{
    Image,
    image::{FLAG_LIMIT, FLAG_TRIAL_LIMIT, Found, Half},
};

use super::Way;
use crate::userspace::{
    flows::{Entry, FlowKey, source_is_b},
    frame::{ICMP, ICMP6, Packet, Part, TCP},
    limits::Charge,
};

/// What the limits say of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asked {
    pub(super) room: Room,
    /// The flow has been counted, and is to be known from here on.
    pub(super) fresh: bool,
    /// Of the flow: a limit that only observes has had no room for it.
    pub(super) over: bool,
}

/// Whether there was room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// Within the limits, or not counted here.
    Enough,
    /// Over one that only observes.
    NotInTrial,
    /// Over one.
    None,
}

/// To whom the flow of a packet is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NewTo {
    All,
    /// To limits that only observe.
    Trial,
    Nobody,
}

impl Way<'_> {
    /// The entry of a packet's flow, if it is remembered. One that is only for counting lives on by this.
    pub(super) fn known(&mut self, packet: &Packet) -> Option<&mut Entry> {
        let (now_s, timeouts) = (self.world.now_s(), self.world.timeouts);
        let entry = self.world.flows.get_mut(&FlowKey::of(packet))?;
        if !entry.alive(packet, &timeouts, now_s) {
            return None;
        }
        if entry.mute {
            entry.note(packet, entry.opener_is_b != source_is_b(packet), now_s);
        }
        Some(entry)
    }

    /// Charges a packet that classification allows, where this node meets it first.
    pub(super) fn ask_limits(&mut self, image: &Image, packet: &Packet, found: &Found) -> Asked {
        let halves = [found.ingress, found.egress];
        let limited = halves.iter().any(|half| half.flags & (FLAG_LIMIT | FLAG_TRIAL_LIMIT) != 0);
        if self.probe || !found.allow() || !limited || self.charged_elsewhere(packet) {
            return Asked { room: Room::Enough, fresh: false, over: false };
        }
        let new = if counts_flows(image, found) { self.new_to(packet) } else { NewTo::Nobody };
        let room = self.charge(image, packet, found, new);
        if new == NewTo::Trial
            && room == Room::Enough
            && let Some(entry) = self.world.flows.get_mut(&FlowKey::of(packet))
        {
            entry.over = false;
        }
        let fresh = new == NewTo::All && room != Room::None && packet.protocol != TCP;
        Asked { room, fresh, over: room == Room::NotInTrial && (fresh || new == NewTo::Trial) }
    }

    fn charge(&mut self, image: &Image, packet: &Packet, found: &Found, new: NewTo) -> Room {
        let (halves, now_ns) = ([found.ingress, found.egress], self.world.now_ns());
        let charge = |trial| {
            let begins = new == NewTo::All || (trial && new == NewTo::Trial);
            Charge { source: packet.src, begins, trial, now_ns }
        };
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
        Room::Enough
    }

    fn charged_elsewhere(&self, packet: &Packet) -> bool {
        let at_its_vlan = packet.tags.0 != 0 && self.ifindex_of(packet) != 0;
        at_its_vlan || self.came_in.is_some_and(|device| self.world.vlans.judged.contains(&device))
    }

    fn new_to(&mut self, packet: &Packet) -> NewTo {
        match packet.protocol {
            // What a later fragment is part of has begun.
            _ if packet.part == Part::Later => NewTo::Nobody,
            TCP if packet.bare_syn() => NewTo::All,
            TCP => NewTo::Nobody,
            ICMP | ICMP6 if packet.answer || packet.question.is_none() => NewTo::Nobody,
            _ => self.known(packet).map_or(NewTo::All, |entry| if entry.over { NewTo::Trial } else { NewTo::Nobody }),
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
