//! After each input: the new life, the ends of lives, the events, and what SWIM wants sent.

use foca::State;
use identity::NodeId;

use super::{Action, Cluster, Datagram, Event, Identity, Member, MemberState, Stamp, TimerKind, Told};
use crate::swim::is_introduction;

impl Cluster {
    pub(super) fn settle(&mut self) {
        let persist = self.adopt_new_life();
        self.end_lives_of_those_who_left();
        if self.tell_events() {
            self.gossip();
        }
        self.empty_outbox();
        // First of all actions: nobody hears of a life that a crash could make this node live twice.
        if let Some(incarnation) = persist {
            self.actions.insert(0, Action::PersistIncarnation(incarnation));
        }
    }

    /// SWIM goes on in a new life when the cluster held the one before for over.
    fn adopt_new_life(&mut self) -> Option<u64> {
        let identity = self.swim.identity();
        if identity == self.me {
            return None;
        }
        self.me = identity;
        self.publish();
        self.greet();
        Some(identity.incarnation)
    }

    /// Who said that it leaves need not be probed to be known as gone.
    fn end_lives_of_those_who_left(&mut self) {
        let gone = |(life, state): &(Identity, State)| *state != State::Down && self.has_left(*life);
        let over: Vec<_> = self.swim.members().filter(gone).map(|(life, _)| life).collect();
        for life in over {
            self.swim.put_down(life);
        }
    }

    fn has_left(&self, life: Identity) -> bool {
        self.records.get(life.node).is_some_and(|record| record.left && record.stamp.incarnation >= life.incarnation)
    }

    /// Compares what SWIM and the records say with what was told, and tells the difference. True if somebody's life or
    /// state has changed, and not only metadata.
    fn tell_events(&mut self) -> bool {
        let mut changed: Vec<_> =
            self.swim.members().filter_map(|(life, state)| self.difference(life, state)).collect();
        changed.sort_unstable_by_key(|(told, _)| told.member.node);
        let mut is_membership = false;
        for (told, state_before) in changed {
            let node = told.member.node;
            let (state, life_before) = (told.member.state, self.incarnation_told(node));
            is_membership |= state_before != Some(state) || life_before != Some(told.member.incarnation);
            self.actions.extend(events(&told.member, state_before).into_iter().map(Action::Event));
            self.told.insert(node, told);
        }
        is_membership
    }

    fn incarnation_told(&self, node: NodeId) -> Option<u64> {
        self.told.get(&node).map(|told| told.member.incarnation)
    }

    /// How a member is seen now and the state it was last told in, if that is not the same picture.
    fn difference(&self, life: Identity, state: State) -> Option<(Told, Option<MemberState>)> {
        let Identity { node, incarnation, addr } = life;
        if self.removed.contains(&node) {
            return None;
        }
        let state = match state {
            State::Alive => MemberState::Alive,
            State::Suspect => MemberState::Suspect,
            State::Down if self.has_left(life) => MemberState::Left,
            State::Down => MemberState::Down,
        };
        let stamp: Option<Stamp> = self.records.stamp(node);
        let before = self.told.get(&node);
        let is_same = |told: &Told| {
            let known = &told.member;
            (known.state, known.incarnation, known.addr, told.stamp) == (state, incarnation, addr, stamp)
        };
        if before.is_some_and(is_same) {
            return None;
        }
        let meta = self.records.get(node).map(|record| record.meta.clone()).unwrap_or_default();
        let told = Told { member: Member { node, addr, incarnation, state, meta }, stamp };
        Some((told, before.map(|told| told.member.state)))
    }

    fn empty_outbox(&mut self) {
        let outbox = self.swim.take_outbox();
        for (to, packet) in outbox.packets {
            let record = is_introduction(&packet).then(|| self.records.get(self.me.node).cloned()).flatten();
            let datagram = Datagram::Swim { view: self.records.view(), record, packet: packet.into() };
            self.send(to.node, to.addr, datagram.encode());
        }
        for (after, timer) in outbox.timers {
            self.schedule(after, TimerKind::Swim(timer));
        }
    }
}

/// What to tell about a member that is not seen as before.
fn events(member: &Member, before: Option<MemberState>) -> Vec<Event> {
    let was_active = before.is_some_and(MemberState::is_active);
    let joined = (!was_active).then(|| Event::Joined(member.clone()));
    match member.state {
        MemberState::Alive => vec![joined.unwrap_or_else(|| Event::Changed(member.clone()))],
        MemberState::Suspect if before == Some(MemberState::Suspect) => vec![Event::Changed(member.clone())],
        MemberState::Suspect => joined.into_iter().chain([Event::Suspected(member.node)]).collect(),
        MemberState::Down if before != Some(MemberState::Down) => vec![Event::Down(member.node)],
        MemberState::Left if before != Some(MemberState::Left) => vec![Event::Left(member.node)],
        MemberState::Down | MemberState::Left => Vec::new(),
    }
}
