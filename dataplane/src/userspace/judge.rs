//! What a frame meets, in order: the mirror of `bpf/judge.h`.

mod room;

use policy::{
    Direction, Image,
    guard::{Judged, Seen},
    image::{FLAG_CUT, Found, RULE_DEFAULT},
};

use self::room::{Room, counts_flows};
use crate::{
    abi::EPHEMERAL_PORT_FIRST,
    enforcer::{Hook, Judgement},
    reason::Reason,
    userspace::{
        World,
        flows::{Bounded, Entry, FirstFragment, FlowKey, FragmentKey, source_is_b},
        frame::{FIN, ICMP, ICMP6, Packet, Part, RST, SCTP, SYN, TCP, UDP, parse, quoted},
    },
};

/// One frame on its way.
pub(super) struct Way<'a> {
    pub(super) world: &'a mut World,
    pub(super) image: Option<&'a Image>,
    pub(super) generation: u32,
    pub(super) hook: Hook,
    /// Where a packet that leaves came in; `None`: sent from here, or arriving.
    pub(super) came_in: Option<u32>,
    /// Nothing may change.
    pub(super) probe: bool,
    pub(super) frame: &'a [u8],
}

/// What became of a frame.
pub(super) struct Outcome {
    pub(super) judgement: Judgement,
    /// The packet, if it is IP; a later fragment with what its first one said.
    pub(super) packet: Option<Packet>,
    /// Policy was asked: rules count it.
    pub(super) by_policy: bool,
}

/// A reason and the rules that go with it.
type Answer = (Reason, (u32, u32));

const NO_RULES: (u32, u32) = (0, 0);

impl<'a> Way<'a> {
    pub(super) fn judge(&mut self) -> Outcome {
        let Some(mut packet) = parse(self.frame) else { return unasked(Reason::NotIp, None) };
        let image = match self.judge_early(&mut packet) {
            Ok(image) => image,
            Err(reason) => return unasked(reason, Some(packet)),
        };
        let (reason, rules) = self.by_policy(image, &packet);
        if packet.part == Part::First && !self.probe {
            let first = self.first_fragment(&packet, reason.passes());
            self.world.fragments.remember(FragmentKey::of(&packet), first);
        }
        // A later fragment passes because its first one did, and is refused or observed by itself.
        let follows = packet.part == Part::Later && reason.passes() && reason != Reason::Observed;
        let reason = if follows { Reason::FragmentFollows } else { reason };
        Outcome { judgement: judgement((reason, rules)), packet: Some(packet), by_policy: true }
    }

    /// The policy to ask, or what guard, fragments and the packet itself say.
    fn judge_early(&mut self, packet: &mut Packet) -> Result<&'a Image, Reason> {
        let before = self.before_policy(packet);
        if let Some(reason) = before.filter(|reason| reason.passes()) {
            return Err(reason);
        }
        let image = self.image.ok_or(Reason::NoPolicy)?;
        if let Some(reason) = before.or(packet.problem) {
            return Err(reason);
        }
        if packet.part == Part::Later {
            *packet = follow(&self.world.fragments, &FragmentKey::of(packet), packet, self.world)?;
        }
        Ok(image)
    }

    fn ifindex_of(&self, packet: &Packet) -> u32 {
        match packet.tags {
            (0, _) => self.hook.ifindex,
            tags => self.world.vlans.children.get(&(self.hook.ifindex, tags)).copied().unwrap_or(0),
        }
    }

    fn before_policy(&mut self, packet: &Packet) -> Option<Reason> {
        let seen = Seen {
            ifindex: self.ifindex_of(packet),
            direction: self.hook.direction,
            protocol: packet.protocol,
            src: packet.src,
            dst: packet.dst,
            ttl: packet.ttl,
            src_port: packet.src_port,
            dst_port: packet.dst_port,
            opens: packet.bare_syn(),
        };
        if packet.problem.is_none()
            && let Some(reason) = self.ask_guard(packet, &seen)
        {
            return Some(reason);
        }
        self.world.guard.spoofs(&seen).then_some(Reason::Spoofed)
    }

    fn ask_guard(&mut self, packet: &Packet, seen: &Seen) -> Option<Reason> {
        if packet.part == Part::Later {
            let key = FragmentKey::at(packet, place_of(seen));
            return follow(&self.world.sync_fragments, &key, packet, self.world).ok().map(|_| Reason::Guard);
        }
        let judged = self.world.guard.judge(seen).or_else(|| self.link_support(seen))?;
        let whole = packet.part == Part::Whole;
        let reason = match judged {
            Judged::Sync => Reason::Guard,
            Judged::Link if whole => Reason::LinkSupport,
            Judged::Join if whole && (self.probe || self.world.admit_joiner(seen)) => Reason::Join,
            _ => return None,
        };
        if packet.part == Part::First && !self.probe {
            let first = self.first_fragment(packet, true);
            self.world.sync_fragments.remember(FragmentKey::at(packet, place_of(seen)), first);
        }
        Some(reason)
    }

    /// Link support is the same in every VLAN of an interface.
    fn link_support(&self, seen: &Seen) -> Option<Judged> {
        let untagged = Seen { ifindex: self.hook.ifindex, ..*seen };
        self.world.guard.judge(&untagged).filter(|judged| *judged == Judged::Link)
    }

    fn first_fragment(&self, packet: &Packet, pass: bool) -> FirstFragment {
        FirstFragment { seen_s: self.world.now_s(), packet: packet.clone(), pass }
    }

    fn by_policy(&mut self, image: &Image, packet: &Packet) -> Answer {
        let found = classify(image, packet, false);
        let observed = found.observe();
        let limits = match self.ask_limits(image, packet, &found) {
            Room::None => return (Reason::RateLimited, rules_of(&found)),
            room => room,
        };
        if found.allow() && !observed {
            self.remember(image, packet, &found, limits);
            return match limits {
                Room::NotInTrial => (Reason::Observed, (found.ingress.trial, found.egress.trial)),
                _ => (Reason::Allowed, rules_of(&found)),
            };
        }
        let second = self.second_opinion(image, packet, observed);
        if !observed {
            return match second {
                Some((reason, rules)) if reason.passes() => (reason, rules),
                refused => (refused.map_or(Reason::Denied, |(reason, _)| reason), rules_of(&found)),
            };
        }
        if let Some((reason, rules)) = second
            && reason.passes()
        {
            return (reason, rules);
        }
        self.remember(image, packet, &found, limits);
        (Reason::Observed, found.rules())
    }

    fn second_opinion(&mut self, image: &Image, packet: &Packet, observed: bool) -> Option<Answer> {
        if packet.is_error() {
            let quoted = quoted(packet, self.frame)?;
            return self.judge_quoted(image, &quoted, observed);
        }
        // What opens a connection is no part of one.
        if packet.bare_syn() {
            return None;
        }
        if self.hook.direction == Direction::Egress
            && packet.can_answer()
            && let Some(rules) = by_reverse(image, packet, observed)
            && may_reply(packet, rules)
        {
            return Some((Reason::Reply, rules));
        }
        if let Some(answer) = self.by_entry(image, packet) {
            return Some(answer);
        }
        if self.hook.direction == Direction::Ingress && may_be_picked_up(packet) && self.world.timeouts.pickup {
            let rules = by_reverse(image, packet, observed)?;
            if classify(image, packet, true).keep() {
                self.keep_picked_up(packet, rules);
            }
            return Some((Reason::PickedUp, rules));
        }
        None
    }

    fn judge_quoted(&mut self, image: &Image, quoted: &Packet, observed: bool) -> Option<Answer> {
        let found = classify(image, quoted, false);
        if enough(&found, observed) {
            return Some((Reason::Quoted, rules_of(&found)));
        }
        if quoted.can_answer()
            && let Some(rules) = by_reverse(image, quoted, observed)
        {
            return Some((Reason::Quoted, rules));
        }
        let entry = self.world.flows.get(&FlowKey::of(quoted))?;
        let kept = entry.keep && entry.alive(quoted, &self.world.timeouts, self.world.now_s());
        kept.then_some((Reason::Quoted, rules_of(&classify(image, quoted, true))))
    }

    fn by_entry(&mut self, image: &Image, packet: &Packet) -> Option<Answer> {
        let (key, now_s, timeouts) = (FlowKey::of(packet), self.world.now_s(), self.world.timeouts);
        let mut entry = *self.world.flows.get(&key)?;
        let answers = entry.opener_is_b != source_is_b(packet);
        let speaks = if answers { packet.can_answer() } else { entry.keep };
        if entry.mute || !entry.alive(packet, &timeouts, now_s) || !speaks {
            return None;
        }
        let (mut reason, mut rules) = (Reason::Established, entry.rules);
        if entry.generation != self.generation {
            let found = classify(image, packet, answers);
            // The rules of the entry are numbers of another image.
            rules = rules_of(&found);
            if found.allow() {
                entry.rules = rules;
                entry.keep = found.keep();
                entry.generation = self.generation;
            } else if entry.keep && (found.ingress.flags | found.egress.flags) & FLAG_CUT == 0 {
                reason = Reason::Kept;
            } else {
                if !self.probe {
                    self.world.flows.remove(&key);
                }
                return Some((Reason::Tightened, NO_RULES));
            }
        }
        if !answers {
            reason = Reason::Kept;
        }
        if !self.probe {
            entry.note(packet, answers, now_s);
            self.world.flows.insert(key, entry, |entry| entry.seen_s);
        }
        Some((reason, rules))
    }

    /// Only a rule that keeps its flows wants an entry: the reversed tuple says yes to the next segment too.
    fn keep_picked_up(&mut self, packet: &Packet, rules: (u32, u32)) {
        if self.probe {
            return;
        }
        let entry = Entry {
            generation: self.generation,
            seen_s: self.world.now_s(),
            rules,
            opener_is_b: !source_is_b(packet),
            keep: true,
            answered: true,
            closing: packet.flags & (FIN | RST) != 0,
            mute: false,
        };
        self.world.flows.insert(FlowKey::of(packet), entry, |entry| entry.seen_s);
    }

    /// The entry of an opening packet, unless its answers would pass without one.
    fn remember(&mut self, image: &Image, packet: &Packet, found: &Found, room: Room) {
        let keep = found.keep();
        let counted = room == Room::ForNewFlow;
        if self.probe || !(counted || opens(packet, self.hook.direction, keep)) {
            return;
        }
        if !keep && (self.hook.direction == Direction::Ingress || by_reverse(image, packet, true).is_some()) {
            // The answers need no entry. But of a flow whose packets are counted while it is new it must be known that it is not.
            let answers_count = packet.protocol != TCP && counts_flows(image, &classify(image, packet, true));
            if counted || answers_count {
                self.remember_silently(packet, found);
            }
            return;
        }
        let (key, now_s, timeouts) = (FlowKey::of(packet), self.world.now_s(), self.world.timeouts);
        let from_b = source_is_b(packet);
        let fresh = Entry {
            generation: self.generation,
            seen_s: now_s,
            rules: rules_of(found),
            opener_is_b: from_b,
            keep,
            answered: false,
            closing: false,
            mute: false,
        };
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
            _ => self.world.flows.insert(key, fresh, |entry| entry.seen_s),
        }
    }
}

/// Where a packet is, its VLAN considered.
fn place_of(seen: &Seen) -> Hook {
    Hook { ifindex: seen.ifindex, direction: seen.direction }
}

fn follow(
    table: &Bounded<FragmentKey, FirstFragment>,
    key: &FragmentKey,
    later: &Packet,
    world: &World,
) -> Result<Packet, Reason> {
    table.follow(key, later, &world.timeouts, world.now_s())
}

/// What policy was not asked about.
pub(super) fn unasked(reason: Reason, packet: Option<Packet>) -> Outcome {
    Outcome { judgement: judgement((reason, NO_RULES)), packet, by_policy: false }
}

fn judgement((reason, (ingress_rule, egress_rule)): Answer) -> Judgement {
    Judgement { pass: reason.passes(), reason, ingress_rule, egress_rule }
}

fn rules_of(found: &Found) -> (u32, u32) {
    (found.ingress.rule, found.egress.rule)
}

fn classify(image: &Image, packet: &Packet, reversed: bool) -> Found {
    let flow = if reversed { packet.flow().reverse() } else { packet.flow() };
    image.tables.classify(flow.src, flow.dst, flow.protocol, flow.dst_port)
}

fn enough(found: &Found, observed: bool) -> bool {
    found.allow() && !(observed && found.observe())
}

fn by_reverse(image: &Image, packet: &Packet, observed: bool) -> Option<(u32, u32)> {
    let found = classify(image, packet, true);
    enough(&found, observed).then(|| rules_of(&found))
}

/// Whether this looks like a segment in the middle of a connection that was opened from here. What comes to a service does not: it has
/// to be allowed itself (G19).
fn may_be_picked_up(packet: &Packet) -> bool {
    packet.protocol == TCP
        && packet.flags & SYN == 0
        && packet.src_port < EPHEMERAL_PORT_FIRST
        && packet.dst_port >= EPHEMERAL_PORT_FIRST
}

/// Whether what leaves can be the answer of a service here. One that no rule speaks of, and that only the default action allows, answers
/// from the port of a service: what leaves from the port of a client would be something that is opened from here.
fn may_reply(packet: &Packet, (ingress, _): (u32, u32)) -> bool {
    ingress != RULE_DEFAULT || !matches!(packet.protocol, TCP | UDP | SCTP) || packet.src_port < EPHEMERAL_PORT_FIRST
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
