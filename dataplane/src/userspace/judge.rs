//! What a frame meets, in order: the mirror of `bpf/judge.h`.

mod memory;
mod room;

use policy::{
    Direction, Image,
    guard::{Judged, Seen},
    image::{FLAG_CUT, Found, RULE_DEFAULT},
};

use self::room::Room;
use crate::{
    abi::EPHEMERAL_PORT_FIRST,
    enforcer::{Hook, Judgement},
    reason::Reason,
    userspace::{
        World,
        flows::{Bounded, FirstFragment, FlowKey, FragmentKey, source_is_b},
        frame::{ICMP, ICMP6, Packet, Part, SCTP, SYN, TCP, UDP, parse, quoted},
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
        let seen = seen(packet, self.ifindex_of(packet), self.hook.direction);
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
        let asked = self.ask_limits(image, packet, &found);
        if asked.room == Room::None {
            return (Reason::RateLimited, rules_of(&found));
        }
        if found.allow() && !observed {
            self.remember(image, packet, &found, asked);
            return match asked.room {
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
            if asked.fresh {
                self.remember_silently(packet, &found, asked.over);
            }
            return (reason, rules);
        }
        self.remember(image, packet, &found, asked);
        (Reason::Observed, found.rules())
    }

    fn second_opinion(&mut self, image: &Image, packet: &Packet, observed: bool) -> Option<Answer> {
        if packet.is_error() {
            let quoted = quoted(packet, self.frame)?;
            if self.is_sync_from_there(packet, &quoted) {
                return Some((Reason::Quoted, NO_RULES));
            }
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

    /// Whether a quoted packet is a sync flow, which went the other way here. No time to live is known of it.
    fn is_sync_from_there(&self, packet: &Packet, quoted: &Packet) -> bool {
        let direction = match self.hook.direction {
            Direction::Ingress => Direction::Egress,
            Direction::Egress => Direction::Ingress,
        };
        let seen = Seen { ttl: 0, ..seen(quoted, self.ifindex_of(packet), direction) };
        self.world.guard.judge(&seen) == Some(Judged::Sync)
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
}

/// A packet as the guard sees it.
fn seen(packet: &Packet, ifindex: u32, direction: Direction) -> Seen {
    Seen {
        ifindex,
        direction,
        protocol: packet.protocol,
        src: packet.src,
        dst: packet.dst,
        ttl: packet.ttl,
        src_port: packet.src_port,
        dst_port: packet.dst_port,
        opens: packet.bare_syn(),
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
    packet.protocol == TCP && packet.flags & SYN == 0 && to_client(packet)
}

/// From the port of a service to one of a client, as Linux gives them.
fn to_client(packet: &Packet) -> bool {
    packet.src_port < EPHEMERAL_PORT_FIRST && packet.dst_port >= EPHEMERAL_PORT_FIRST
}

fn has_ports(packet: &Packet) -> bool {
    matches!(packet.protocol, TCP | UDP | SCTP)
}

/// Whether what leaves can be the answer of a service here. One that no rule speaks of, and that only the default action allows, answers
/// from the port of a service: what leaves from the port of a client, or has no ports, would be something that is opened from here. ICMP
/// says which are answers.
fn may_reply(packet: &Packet, (ingress, _): (u32, u32)) -> bool {
    if ingress != RULE_DEFAULT {
        return true;
    }
    if has_ports(packet) { packet.src_port < EPHEMERAL_PORT_FIRST } else { matches!(packet.protocol, ICMP | ICMP6) }
}

/// Whether it is told by its flags or its ports that it goes from a service to a client.
fn looks_like_answer(packet: &Packet) -> bool {
    if packet.protocol == TCP && packet.flags & SYN != 0 {
        return !packet.bare_syn();
    }
    has_ports(packet) && to_client(packet)
}
