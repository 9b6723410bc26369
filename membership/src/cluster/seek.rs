//! Looking for those who should be there and are not: seeds not yet heard, members that are down. This heals partitions,
//! and the isolation of a node from everybody, after which SWIM by itself would never speak again (foca #15).

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use identity::NodeId;
use rand::{RngExt, seq::IteratorRandom};

use super::{Cluster, MEMBERS_MAX, MemberState};
use crate::event::TimerKind;

/// Lost nodes looked for in one round, by a node that has company.
const SOUGHT_MAX: usize = 3;

/// Lost nodes looked for in one round, by a node that is alone.
const SOUGHT_ALONE_MAX: usize = 16;

/// Members that a node in a new life makes itself known to at once.
const GREETED_MAX: usize = 3;

impl Cluster {
    pub(super) fn announce(&mut self, to: NodeId, addr: SocketAddr) {
        let is_full = self.seeds.len() >= MEMBERS_MAX && !self.seeds.contains_key(&to);
        if to == self.me.node || self.removed.contains(&to) || is_full {
            return;
        }
        self.seeds.insert(to, addr);
        if !self.is_active(to) {
            self.swim.announce(to, addr);
        }
    }

    pub(super) fn seek_and_schedule(&mut self) {
        self.seek();
        self.schedule_seek();
    }

    /// Schedules the next round, up to a fifth later than stated, so that nodes cut off together do not shout together.
    pub(super) fn schedule_seek(&mut self) {
        let interval = self.config.announce_interval;
        let jitter = interval.mul_f32(0.2 * self.rng.random::<f32>());
        self.schedule(interval + jitter.min(Duration::from_secs(1)), TimerKind::Seek);
    }

    pub(super) fn seek(&mut self) {
        let lost = self.lost();
        let sought_max = if self.swim.active_count() == 0 { SOUGHT_ALONE_MAX } else { SOUGHT_MAX };
        for (node, addr) in lost.into_iter().sample(&mut self.rng, sought_max) {
            self.swim.announce(node, addr);
        }
    }

    /// Makes this node's new life known: to those who are lost, and to a few who are there.
    pub(super) fn greet(&mut self) {
        self.seek();
        for (node, addr) in self.swim.active().sample(&mut self.rng, GREETED_MAX) {
            self.swim.announce(node, addr);
        }
    }

    /// Who should be there and is not. Who has left is not looked for: it announces itself when it returns.
    fn lost(&self) -> BTreeMap<NodeId, SocketAddr> {
        let told = self.told.values().map(|told| &told.member);
        let down = told.filter(|member| member.state == MemberState::Down).map(|member| (member.node, member.addr));
        let has_left = |node| self.told.get(&node).is_some_and(|told| told.member.state == MemberState::Left);
        let seeds = self.seeds.iter().map(|(node, addr)| (*node, *addr));
        let silent = seeds.filter(|(node, _)| !self.is_active(*node) && !has_left(*node));
        // The caller's word about an address is the later one.
        down.chain(silent).collect()
    }

    fn is_active(&self, node: NodeId) -> bool {
        self.told.get(&node).is_some_and(|told| told.member.state.is_active())
    }
}
