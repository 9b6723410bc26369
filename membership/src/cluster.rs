//! The state machine: input in, actions out.
//!
//! [`Cluster::handle`] lets a part of the machine react, then [settles](settle): what SWIM has come to believe is compared
//! with what was last told, so events are a function of state and none can be missed.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
};

use bytes::Bytes;
use identity::NodeId;
use rand::{SeedableRng, rngs::StdRng};

use crate::{
    config::Config,
    datagram::Datagram,
    event::{Action, Event, Input, Timer, TimerKind},
    incarnation::Identity,
    member::{LocalMember, Member, MemberState, Meta},
    records::{Record, Records, Stamp},
    swim::Swim,
};

mod leave;
mod receive;
mod seek;
mod settle;
mod spread;

/// Most nodes that gossip keeps in mind, those that are down included; packets that name more are refused.
pub const MEMBERS_MAX: usize = 512;

/// Membership as one node sees it.
pub struct Cluster {
    me: Identity,
    config: Config,
    swim: Swim,
    records: Records,
    /// What the last event told of each member.
    told: BTreeMap<NodeId, Told>,
    /// Nodes that the caller said should be there.
    seeds: BTreeMap<NodeId, SocketAddr>,
    removed: BTreeSet<NodeId>,
    meta: Meta,
    /// The version of this node's record that was published last.
    version: u64,
    pace: spread::Pace,
    leaving: Option<leave::Leaving>,
    rng: StdRng,
    actions: Vec<Action>,
}

struct Told {
    member: Member,
    stamp: Option<Stamp>,
}

impl Cluster {
    /// A node that knows nobody yet. `rng_seed` decides all its choices: the same inputs give the same actions.
    #[must_use]
    pub fn new(me: LocalMember, config: Config, rng_seed: u64) -> Self {
        let identity = Identity::new(me.node, me.incarnation, me.addr);
        let mut rng = StdRng::seed_from_u64(rng_seed);
        let swim = Swim::new(identity, &config, StdRng::from_rng(&mut rng));
        let mut cluster = Self {
            me: identity,
            config,
            swim,
            records: Records::default(),
            told: BTreeMap::new(),
            seeds: BTreeMap::new(),
            removed: BTreeSet::new(),
            meta: me.meta.trimmed(),
            version: 0,
            pace: spread::Pace::default(),
            leaving: None,
            rng,
            actions: Vec::new(),
        };
        cluster.publish();
        cluster
    }

    /// What is to be done before the first input.
    #[must_use]
    pub fn start(&mut self) -> Vec<Action> {
        self.schedule_seek();
        std::mem::take(&mut self.actions)
    }

    /// Reacts to one input.
    pub fn handle(&mut self, input: Input) -> Vec<Action> {
        if self.leaving.is_some() {
            self.handle_leaving(&input);
        } else {
            self.handle_living(input);
            self.settle();
        }
        std::mem::take(&mut self.actions)
    }

    /// All members by node, this one included; those that are down or have left stay until they are removed.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        let state = if self.leaving.is_some() { MemberState::Left } else { MemberState::Alive };
        let Identity { node, incarnation, addr } = self.me;
        let mut members: Vec<_> = self.told.values().map(|told| told.member.clone()).collect();
        members.push(Member { node, addr, incarnation, state, meta: self.meta.clone() });
        members.sort_unstable_by_key(|member| member.node);
        members
    }

    fn handle_living(&mut self, input: Input) {
        match input {
            Input::Datagram { from, bytes } => self.receive(from, &bytes),
            Input::Timer(Timer(TimerKind::Swim(timer))) => self.swim.elapsed(timer),
            Input::Timer(Timer(TimerKind::Seek)) => self.seek_and_schedule(),
            Input::Timer(Timer(TimerKind::Cooled)) => self.cooled(),
            Input::Timer(Timer(TimerKind::Lazy)) => self.lazy_elapsed(),
            Input::Timer(Timer(TimerKind::LeaveAgain)) => {}
            Input::Announce { to, addr } => self.announce(to, addr),
            Input::SetMeta(meta) => self.set_meta(meta),
            Input::Remove(node) => self.remove(node),
            Input::Leave => self.leave(),
        }
    }

    fn remove(&mut self, node: NodeId) {
        if node == self.me.node || !self.removed.insert(node) {
            return;
        }
        self.seeds.remove(&node);
        self.told.remove(&node);
        self.records.forget(node);
        let known = self.swim.members().find(|(life, _)| life.node == node);
        if let Some((life, _)) = known {
            self.swim.put_down(Identity::removed(node, life.addr));
        }
    }

    /// Where a node said it can be reached, or is thought to be.
    fn addr_of(&self, node: NodeId) -> Option<SocketAddr> {
        let member = self.swim.members().find(|(life, _)| life.node == node);
        member.map(|(life, _)| life.addr).or_else(|| self.seeds.get(&node).copied())
    }

    fn send(&mut self, to: NodeId, addr: SocketAddr, bytes: Bytes) {
        if to != self.me.node && !self.removed.contains(&to) {
            self.actions.push(Action::Send { to, addr, bytes });
        }
    }

    fn schedule(&mut self, after: std::time::Duration, timer: TimerKind) {
        self.actions.push(Action::Schedule { after, timer: Timer(timer) });
    }
}
