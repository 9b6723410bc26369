//! The enforcer without a kernel: the same order, the same tables, evaluated in this process. The oracle of the tests, and what a
//! laptop without root runs. It judges what it is shown; it is attached to nothing.

mod control;
mod flows;
mod frame;
mod judge;
mod limits;

use std::{
    collections::{BTreeMap, VecDeque},
    net::IpAddr,
    time::{Duration, Instant},
};

use policy::{
    Direction, Guard, Image, LocalInterface, Obligation, TableId,
    guard::{JOIN_PACKETS_PER_SECOND_MAX, Seen},
};

use self::{
    flows::{Bounded, Entry, FirstFragment, FlowKey, FragmentKey},
    frame::Packet,
    judge::{Outcome, Way, unasked},
    limits::Limits,
};
use crate::{
    enforcer::{
        Active, Attachment, Attestation, Count, Counters, Enforcer, FlowEvent, FlowEvents, Hook, HookState, HookStatus,
        Judgement, Prepared, Timeouts,
    },
    error::{ActivateError, AttestError, GuardSetError, HookError, JudgeError, PrepareError},
    object::{FRAME_BYTES_MAX, FRAME_BYTES_MIN},
    reason::Reason,
    sizes::TableSizes,
    vlan::Vlans,
};

/// The data path in this process.
pub struct Userspace {
    world: World,
    interfaces: Vec<LocalInterface>,
    sizes: TableSizes,
    generation: u32,
    live: Option<(Active, Image)>,
    idle: Option<(Prepared, Image)>,
    disarmed: bool,
    counters: Counters,
    events: VecDeque<FlowEvent>,
    events_lost: u64,
}

/// Events that wait to be taken.
const EVENTS_MAX: usize = 8_192;

/// What outlives a generation.
struct World {
    guard: Guard,
    vlans: Vlans,
    flows: Bounded<FlowKey, Entry>,
    fragments: Bounded<FragmentKey, FirstFragment>,
    sync_fragments: Bounded<FragmentKey, FirstFragment>,
    limits: Limits,
    timeouts: Timeouts,
    /// By own address and interface: the second of the current allowance, and what came in it.
    joiners: BTreeMap<(IpAddr, u32), (u64, u32)>,
    began: Instant,
    /// The time since then, where somebody tells it.
    told: Option<Duration>,
}

impl World {
    fn now(&self) -> Duration {
        self.told.unwrap_or_else(|| self.began.elapsed())
    }

    fn now_s(&self) -> u64 {
        self.now().as_secs()
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.now().as_nanos()).unwrap_or(u64::MAX)
    }

    /// What arrives at the joiners' door is limited; what leaves it is not.
    fn admit_joiner(&mut self, seen: &Seen) -> bool {
        if seen.direction == Direction::Egress {
            return true;
        }
        let now_s = self.now_s();
        // A door is an own address that the guard knows: there are as many as it has entries.
        let (second, packets) = self.joiners.entry((seen.dst, seen.ifindex)).or_default();
        if *second != now_s {
            (*second, *packets) = (now_s, 0);
        }
        *packets += 1;
        *packets <= JOIN_PACKETS_PER_SECOND_MAX
    }
}

impl Userspace {
    /// A data path that passes everything until the first activation.
    pub fn new(interfaces: Vec<LocalInterface>, sizes: TableSizes, timeouts: Timeouts) -> Userspace {
        let world = World {
            guard: guard_on(&interfaces, &Guard::default()),
            vlans: vlans_of(&interfaces),
            flows: Bounded::new(2 * sizes.flows as usize),
            fragments: Bounded::new(sizes.fragments as usize),
            sync_fragments: Bounded::new(sizes.fragments as usize),
            limits: Limits::new(sizes.sources as usize),
            timeouts,
            joiners: BTreeMap::new(),
            began: Instant::now(),
            told: None,
        };
        Userspace {
            world,
            interfaces,
            sizes,
            generation: 0,
            live: None,
            idle: None,
            disarmed: false,
            counters: Counters::default(),
            events: VecDeque::new(),
            events_lost: 0,
        }
    }

    /// From here on the time is what it is told: so long after the beginning.
    pub fn set_time(&mut self, since_beginning: Duration) {
        self.world.told = Some(since_beginning);
    }

    /// Judges a frame that arrives, or was sent from here, as a hook would: counts it, charges it to limits, and remembers its flow.
    pub fn receive(&mut self, hook: Hook, frame: &[u8]) -> Judgement {
        self.pass(hook, None, frame)
    }

    /// Judges a frame that leaves and came through the interface with that number.
    pub fn forward(&mut self, hook: Hook, came_in: u32, frame: &[u8]) -> Judgement {
        self.pass(hook, Some(came_in), frame)
    }

    fn pass(&mut self, hook: Hook, came_in: Option<u32>, frame: &[u8]) -> Judgement {
        let Outcome { judgement, packet, by_policy } = match self.disarmed {
            true => unasked(Reason::Disarmed, None),
            false => self.way(hook, came_in, frame, false).judge(),
        };
        if let Some(packet) = packet {
            self.tell(hook, &packet, frame.len(), &judgement);
        }
        let count = Count { packets: 1, bytes: frame.len() as u64 };
        self.count(hook.direction, judgement.reason, count);
        if by_policy {
            self.counters.rules[judgement.ingress_rule as usize] += count;
            if judgement.egress_rule != judgement.ingress_rule {
                self.counters.rules[judgement.egress_rule as usize] += count;
            }
        }
        judgement
    }

    /// Notes a packet that was refused or observed, or that a rule wants logged.
    fn tell(&mut self, hook: Hook, packet: &Packet, bytes: usize, judgement: &Judgement) {
        let found = self
            .live
            .as_ref()
            .map(|(_, image)| image.tables.classify(packet.src, packet.dst, packet.protocol, packet.dst_port));
        let logged = found.is_some_and(|found| found.log()) && judgement.reason >= Reason::Allowed;
        let opens = packet.protocol != frame::TCP || packet.flags & frame::SYN != 0;
        let refused = !judgement.pass || judgement.reason == Reason::Observed;
        if !(refused || logged && opens) {
            return;
        }
        if self.events.len() == EVENTS_MAX {
            self.events_lost += 1;
            return;
        }
        self.events.push_back(FlowEvent {
            at_ns: self.world.now_ns(),
            hook,
            flow: packet.flow(),
            tcp_flags: packet.flags,
            reason: judgement.reason,
            ingress_rule: judgement.ingress_rule,
            egress_rule: judgement.egress_rule,
            generation: self.generation,
            bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
            logged,
        });
    }

    fn count(&mut self, direction: Direction, reason: Reason, count: Count) {
        let found = self.counters.reasons.iter_mut().find(|(d, r, _)| (*d, *r) == (direction, reason));
        match found {
            Some((_, _, sum)) => *sum += count,
            None => self.counters.reasons.push((direction, reason, count)),
        }
    }

    fn way<'a>(&'a mut self, hook: Hook, came_in: Option<u32>, frame: &'a [u8], probe: bool) -> Way<'a> {
        let image = self.live.as_ref().map(|(_, image)| image);
        Way { world: &mut self.world, image, generation: self.generation, hook, came_in, probe, frame }
    }

    fn statuses(&self) -> Vec<HookStatus> {
        let directions = [Direction::Ingress, Direction::Egress];
        let of = |interface: &LocalInterface, direction| HookStatus {
            hook: Hook { ifindex: interface.ifindex, direction },
            interface: interface.name.clone(),
            attachment: Attachment::Userspace,
            state: HookState::Attached,
        };
        self.interfaces.iter().flat_map(|interface| directions.map(|direction| of(interface, direction))).collect()
    }
}

/// Nothing is attached here, so an unknown VLAN cuts nothing; it is only judged as another network.
fn vlans_of(interfaces: &[LocalInterface]) -> Vlans {
    Vlans::of(interfaces).unwrap_or_else(|error| {
        tracing::warn!(%error, "the kernel does not tell of VLANs; tagged frames are judged as those of no interface");
        Vlans::among(&[], interfaces)
    })
}

/// Link support holds on every interface, whatever the guard says.
fn guard_on(interfaces: &[LocalInterface], guard: &Guard) -> Guard {
    let mut guard = guard.clone();
    guard.interfaces.extend(interfaces.iter().map(|interface| interface.ifindex));
    guard
}

impl Enforcer for Userspace {
    fn set_guard(&mut self, guard: &Guard) -> Result<(), GuardSetError> {
        self.world.guard = guard_on(&self.interfaces, guard);
        Ok(())
    }

    fn prepare(&mut self, revision: u64, image: &Image, obligations: &[Obligation]) -> Result<Prepared, PrepareError> {
        self.sizes.fits(image)?;
        for obligation in obligations {
            let hook = Hook { ifindex: obligation.hook.0, direction: obligation.hook.1 };
            let answer = self.judge(hook, &obligation.frame)?;
            obligation_holds(hook, obligation, answer.reason)?;
        }
        let generation = self.generation + 1;
        let prepared = Prepared { generation, revision, digest: image.digest(), proven: obligations.len() };
        self.idle = Some((prepared.clone(), image.clone()));
        Ok(prepared)
    }

    fn activate(&mut self, prepared: Prepared) -> Result<Active, ActivateError> {
        let Some((_, image)) = self.idle.take_if(|(idle, _)| *idle == prepared) else {
            return Err(ActivateError::Stale { prepared: prepared.generation, expected: self.generation + 1 });
        };
        let Prepared { generation, revision, digest, .. } = prepared;
        let active = Active { generation, revision, digest };
        self.generation = generation;
        self.counters.generation = generation;
        self.counters.rules = vec![Count::default(); image.rules.len()];
        let limits = 0..u32::try_from(image.tables.elements(TableId::Limits)).expect("they were found to fit");
        self.world.limits.retain(&limits.map(|index| image.tables.limit(index).id).collect());
        self.live = Some((active, image));
        Ok(active)
    }

    fn active(&self) -> Option<Active> {
        self.live.as_ref().map(|(active, _)| *active)
    }

    fn adopt(&mut self, image: &Image) -> bool {
        self.live.as_ref().is_some_and(|(active, _)| active.digest == image.digest())
    }

    fn attest(&mut self) -> Result<Attestation, AttestError> {
        Ok(Attestation {
            active: self.active(),
            digest: self.live.as_ref().map(|(_, image)| image.digest()),
            programs: Vec::new(),
            hooks: self.statuses(),
            disarmed: self.disarmed,
        })
    }

    fn judge(&mut self, hook: Hook, frame: &[u8]) -> Result<Judgement, JudgeError> {
        if !(FRAME_BYTES_MIN..=FRAME_BYTES_MAX).contains(&frame.len()) {
            return Err(JudgeError::Length { bytes: frame.len(), min: FRAME_BYTES_MIN, max: FRAME_BYTES_MAX });
        }
        Ok(self.way(hook, None, frame, true).judge().judgement)
    }

    fn counters(&mut self) -> Counters {
        self.counters.clone()
    }

    fn flow_events(&mut self, max: usize) -> FlowEvents {
        let events = self.events.drain(..max.min(self.events.len())).collect();
        FlowEvents { events, lost: self.events_lost }
    }

    fn set_disarmed(&mut self, disarmed: bool) {
        self.disarmed = disarmed;
    }

    fn disarmed(&self) -> bool {
        self.disarmed
    }

    fn check_hooks(&mut self) -> Result<Vec<HookStatus>, HookError> {
        // Where the kernel does not tell of VLANs, the start has said so.
        if let Ok(vlans) = Vlans::of(&self.interfaces) {
            self.world.vlans = vlans;
        }
        Ok(self.statuses())
    }
}

/// Whether the guard's answer is the one that is owed.
pub(crate) fn obligation_holds(hook: Hook, obligation: &Obligation, answer: Reason) -> Result<(), PrepareError> {
    if answer.is_guard() == obligation.must_pass {
        return Ok(());
    }
    Err(PrepareError::Obligation {
        hook,
        why: obligation.why.clone(),
        expected: if obligation.must_pass { "a yes of the guard" } else { "no yes of the guard" },
        answer: answer.to_string(),
    })
}
