//! For comparisons with the programs: a clock that is set from outside, and a memory that can be emptied.

use std::time::Duration;

use policy::Image;

use super::{Bounded, Userspace, limits::Limits};
use crate::{
    enforcer::{Active, Count, Counters, Hook, Judgement},
    vlan::Children,
};

impl Userspace {
    /// Stops the clock, or moves it, to so many seconds.
    pub(crate) fn stop_clock(&mut self, now_s: u64) {
        self.set_time(Duration::from_secs(now_s));
    }

    /// Says which VLANs there are.
    pub(crate) fn set_vlans(&mut self, children: Children) {
        self.world.vlans.children = children;
    }

    /// Forgets every flow, fragment, count and event, as if it had seen no packet.
    pub(crate) fn forget(&mut self) {
        self.world.flows = Bounded::new(2 * self.sizes.flows as usize);
        self.world.fragments = Bounded::new(self.sizes.fragments as usize);
        self.world.sync_fragments = Bounded::new(self.sizes.fragments as usize);
        self.world.joiners.clear();
        self.world.limits = Limits::new(self.sizes.sources as usize);
        let rules = vec![Count::default(); self.counters.rules.len()];
        self.counters = Counters { generation: self.generation, rules, reasons: Vec::new() };
        self.events.clear();
        self.events_lost = 0;
    }

    /// Makes an image the live one without proof, and hands out the one before.
    pub(crate) fn exchange(&mut self, image: Image) -> Option<Image> {
        self.generation += 1;
        self.world.limits = Limits::new(self.sizes.sources as usize);
        self.counters.generation = self.generation;
        self.counters.rules = vec![Count::default(); image.rules.len()];
        let active = Active {
            generation: self.generation,
            revision: u64::from(self.generation),
            digest: identity::Digest([0; 32]),
        };
        self.live.replace((active, image)).map(|(_, before)| before)
    }

    /// Judges a frame of any length; nothing is counted or remembered.
    pub(crate) fn probe(&mut self, hook: Hook, frame: &[u8]) -> Judgement {
        self.way(hook, None, frame, true).judge().judgement
    }

    /// The generation that is live.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }
}
