//! The enforcer in the kernel.

use policy::{Direction, Guard, Image, LocalInterface, Obligation};

use crate::{
    abi::{Probe, TimeoutTicks},
    attach::{self, Attached, Ways},
    clock,
    enforcer::{
        Active, Attachment, Attestation, Counters, Enforcer, FlowEvents, Hook, HookState, HookStatus, Judgement,
        KernelConfig, Prepared,
    },
    error::{
        ActivateError, AttestError, CountersError, DisarmError, EventsError, GuardSetError, HookError, JudgeError,
        OpenError, PrepareError,
    },
    events::Events,
    generation::Generations,
    guard_maps::GuardMaps,
    object::{Object, PROBE_WORDS},
    pin::Pins,
    reason::Reason,
    rule_counts::RuleCounts,
    sizes::Placement,
    sys::Mapped,
    userspace::obligation_holds,
    vlan,
};

/// The data path in the kernel. Dropping it leaves everything attached and enforcing.
pub struct Kernel {
    object: Object,
    pins: Pins,
    interfaces: Vec<LocalInterface>,
    ways: Ways,
    generations: Generations,
    counts: RuleCounts,
    guard: GuardMaps,
    events: Events,
    probe: Mapped,
    attached: Vec<Attached>,
    /// Programs of another layout are attached and stay until this one has a policy.
    waiting: bool,
}

impl Kernel {
    /// Takes over what is pinned, or builds it.
    ///
    /// If the maps pinned have the layout of this version and these sizes, the programs are exchanged in place and the live
    /// generation goes on. If they have another one, new maps are built beside them and what is attached is exchanged by the first
    /// activation, so that no packet ever meets an empty table. If nothing is pinned, packets pass (`no-policy`) until the first
    /// activation, the guard's and anti-spoofing's part excepted.
    ///
    /// # Errors
    /// What was enforced before is still enforced.
    pub fn open(config: KernelConfig) -> Result<Kernel, OpenError> {
        let placement = Placement { sizes: config.sizes, cpus: possible_cpus() };
        let pins = Pins::prepare(&config.bpffs, placement.fingerprint())?;
        let mut object = Object::load(&pins, &placement)?;
        let mut kernel = Kernel {
            generations: Generations::open(&object, placement)?,
            counts: RuleCounts::default(),
            guard: GuardMaps::open(&mut object)?,
            events: Events::open(&mut object)?,
            probe: object.mapped("hr_probe", PROBE_WORDS)?,
            waiting: false,
            attached: Vec::new(),
            ways: Ways { xdp: config.xdp, tc: config.tc },
            interfaces: config.interfaces,
            object,
            pins,
        };
        kernel.set_timeouts(&config.timeouts)?;
        kernel
            .guard
            .set_vlans(&vlan::children(&kernel.interfaces))
            .map_err(|error| program_fault("hr_vlan", &error))?;
        kernel.waiting = kernel.generations.generation() == 0 && kernel.pins.others_enforce();
        if !kernel.waiting {
            kernel.attach()?;
        }
        Ok(kernel)
    }

    /// Detaches everything and removes the pins: after this nothing is enforced.
    ///
    /// # Errors
    /// If the pins cannot be removed; hooks without pins are detached all the same.
    pub fn detach_all(self) -> Result<(), OpenError> {
        self.attached.into_iter().for_each(Attached::detach);
        let path = self.pins.maps();
        self.pins.remove_all().map_err(|source| OpenError::Pins { path, source })
    }

    /// Whether the programs of another layout are still enforcing, until the next activation.
    pub fn is_waiting(&self) -> bool {
        self.waiting
    }

    pub(crate) fn object(&self) -> &Object {
        &self.object
    }

    pub(crate) fn map_pin(&self, name: &str) -> std::path::PathBuf {
        self.pins.map(name)
    }

    pub(crate) fn map_entries(&self) -> Vec<(&'static str, u32)> {
        crate::object::entries(self.generations.placement())
    }

    pub(crate) fn with_settings(&self, object: &[u8]) -> Vec<u8> {
        crate::settings::written_into(object, self.generations.placement())
    }

    fn attach(&mut self) -> Result<(), OpenError> {
        let mut attached = Vec::new();
        for interface in &self.interfaces {
            attached.extend(attach::attach_interface(&mut self.object, &self.pins, interface, self.ways)?);
        }
        self.attached = attached;
        attach::drop_others(&self.pins, &self.interfaces);
        self.object.pin_programs(&self.pins)?;
        self.pins.remove_other_maps();
        Ok(())
    }

    fn set_timeouts(&mut self, timeouts: &crate::Timeouts) -> Result<(), OpenError> {
        let words = size_of::<TimeoutTicks>() / 4;
        let mut map = self.object.mapped("hr_timeouts", words)?;
        self.object.read_clocks().map_err(|error| program_fault("hr_clock", &error))?;
        let at = |field: usize| self.probe.load64(field / 8);
        let jiffies = at(std::mem::offset_of!(Probe, jiffies));
        let clock_ns = at(std::mem::offset_of!(Probe, clock_ns));
        map.write(0, &clock::ticks(timeouts, clock::jiffies_per_second(jiffies, clock_ns)));
        Ok(())
    }

    /// What the half of a generation says to a frame.
    fn ask(&mut self, hook: Hook, generation: u32, frame: &[u8]) -> Result<Judgement, JudgeError> {
        self.probe.store(std::mem::offset_of!(Probe, ifindex) / 4, hook.ifindex);
        self.probe.store(std::mem::offset_of!(Probe, generation) / 4, generation);
        let xdp = self.by_xdp(hook);
        self.object.ask(hook, xdp, frame)?;
        let word = |field: usize| self.probe.load(field / 4);
        let number = word(std::mem::offset_of!(Probe, reason));
        let reason = Reason::from_number(number).ok_or(JudgeError::UnknownReason(number))?;
        Ok(Judgement {
            pass: reason.passes(),
            reason,
            ingress_rule: word(std::mem::offset_of!(Probe, in_rule)),
            egress_rule: word(std::mem::offset_of!(Probe, out_rule)),
        })
    }

    fn by_xdp(&self, hook: Hook) -> bool {
        self.attached
            .iter()
            .any(|a| a.hook == hook && matches!(a.attachment, Attachment::XdpNative | Attachment::XdpGeneric))
    }

    fn prove(&mut self, generation: u32, obligations: &[Obligation]) -> Result<(), PrepareError> {
        for obligation in obligations {
            let (ifindex, direction) = obligation.hook;
            let hook = Hook { ifindex, direction };
            let answer = self.ask(hook, generation, &obligation.frame)?;
            obligation_holds(hook, obligation, answer.reason)?;
        }
        Ok(())
    }
}

impl Enforcer for Kernel {
    fn set_guard(&mut self, guard: &Guard) -> Result<(), GuardSetError> {
        self.guard.set(guard)
    }

    fn prepare(&mut self, revision: u64, image: &Image, obligations: &[Obligation]) -> Result<Prepared, PrepareError> {
        self.generations.sizes().fits(image)?;
        let expected = image.digest();
        self.generations.wait_for_grace().map_err(PrepareError::Grace)?;
        let generation = self.generations.next();
        self.counts.fill(&self.generations, generation, image);
        self.generations.fill(&image.tables, revision, image.rules.len(), expected);
        // The same words have the same digest; that of what was read back is only computed when it has to be told.
        if !self.generations.holds(generation, &image.tables) {
            return Err(PrepareError::Digest { expected, found: self.generations.digest(generation) });
        }
        self.prove(generation, obligations)?;
        Ok(Prepared { generation, revision, digest: expected, proven: obligations.len() })
    }

    fn activate(&mut self, prepared: Prepared) -> Result<Active, ActivateError> {
        let expected = self.generations.next();
        let recorded = self.generations.recorded(expected);
        let active = Active { generation: prepared.generation, revision: prepared.revision, digest: prepared.digest };
        if recorded != Some(active) {
            return Err(ActivateError::Stale { prepared: prepared.generation, expected });
        }
        let before = self.generations.generation();
        self.generations.flip(prepared.generation);
        self.counts.flipped(before);
        if self.waiting {
            self.attach().map_err(|error| ActivateError::Exchange(Box::new(error)))?;
            self.waiting = false;
        }
        Ok(active)
    }

    fn active(&self) -> Option<Active> {
        self.generations.active()
    }

    fn adopt(&mut self, image: &Image) -> bool {
        let live = self.generations.active().filter(|active| active.digest == image.digest());
        let Some(active) = live else { return false };
        self.counts.adopt(active.generation, image);
        true
    }

    fn attest(&mut self) -> Result<Attestation, AttestError> {
        let active = self.generations.active();
        Ok(Attestation {
            active,
            digest: active.map(|active| self.generations.digest(active.generation)),
            programs: self.object.tags().map_err(AttestError::Programs)?,
            hooks: self.attached.iter().map(state_of).collect(),
            disarmed: self.generations.disarmed(),
        })
    }

    fn judge(&mut self, hook: Hook, frame: &[u8]) -> Result<Judgement, JudgeError> {
        let generation = self.generations.generation();
        self.ask(hook, generation, frame)
    }

    fn counters(&mut self) -> Result<Counters, CountersError> {
        let mut reasons = Vec::new();
        for (hook, direction) in [Direction::Ingress, Direction::Egress].into_iter().enumerate() {
            let counts = Reason::ALL.iter().map(|r| (direction, *r, self.generations.reason_count(hook, r.number())));
            reasons.extend(counts);
        }
        Ok(Counters { generation: self.generations.generation(), rules: self.counts.live(&self.generations), reasons })
    }

    fn flow_events(&mut self, max: usize) -> Result<FlowEvents, EventsError> {
        self.events.take(max)
    }

    fn set_disarmed(&mut self, disarmed: bool) -> Result<(), DisarmError> {
        self.generations.set_disarmed(disarmed);
        Ok(())
    }

    fn disarmed(&self) -> bool {
        self.generations.disarmed()
    }

    fn check_hooks(&mut self) -> Result<Vec<HookStatus>, HookError> {
        let mut statuses = Vec::new();
        for interface in self.interfaces.clone() {
            statuses.extend(self.check_interface(&interface));
        }
        Ok(statuses)
    }
}

impl Kernel {
    /// Looks at the hooks of one interface and attaches what is missing.
    fn check_interface(&mut self, interface: &LocalInterface) -> Vec<HookStatus> {
        let (here, elsewhere): (Vec<Attached>, Vec<Attached>) =
            std::mem::take(&mut self.attached).into_iter().partition(|a| a.hook.ifindex == interface.ifindex);
        self.attached = elsewhere;
        let whole = here.len() == 2 && here.iter().all(|attached| attached.in_place().is_ok());
        // Under clsact there is no link to ask: putting the filter in its place again is the question and the repair.
        let clsact = here.iter().any(|attached| attached.attachment == Attachment::Clsact);
        if self.waiting || (whole && !clsact) {
            let statuses = here.iter().map(state_of).collect();
            self.attached.extend(here);
            return statuses;
        }
        let (statuses, now) = self.repair(interface, here);
        self.attached.extend(now);
        statuses
    }

    /// Attaches what is missing at an interface, and puts first what others have put themselves before.
    fn repair(&mut self, interface: &LocalInterface, before: Vec<Attached>) -> (Vec<HookStatus>, Vec<Attached>) {
        let (shadowed, before): (Vec<Attached>, Vec<Attached>) = before.into_iter().partition(Attached::shadowed);
        let mut statuses = before.iter().map(state_of).collect::<Vec<_>>();
        let lost = shadowed.iter().map(|attached| attached.status(HookState::Repaired)).collect::<Vec<_>>();
        shadowed.into_iter().for_each(|attached| attached.withdraw(&self.pins));
        match attach::attach_interface(&mut self.object, &self.pins, interface, self.ways) {
            Ok(now) => {
                let state = |attached: &Attached| {
                    let was_there = statuses.iter().any(|s| s.hook == attached.hook && s.state.attached());
                    if was_there && !attached.fresh { HookState::Attached } else { HookState::Repaired }
                };
                (now.iter().map(|attached| attached.status(state(attached))).collect(), now)
            }
            Err(error) => {
                let missing = |status: HookStatus| HookStatus {
                    state: HookState::Missing { because: error.to_string() },
                    ..status
                };
                statuses.extend(lost);
                let state =
                    |status: HookStatus| if status.state == HookState::Attached { status } else { missing(status) };
                (statuses.into_iter().map(state).collect(), before)
            }
        }
    }
}

fn state_of(attached: &Attached) -> HookStatus {
    attached.status(match attached.in_place() {
        Ok(()) => HookState::Attached,
        Err(because) => HookState::Missing { because },
    })
}

fn program_fault(program: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Program { program: program.to_owned(), message: error.to_string() }
}

/// Processors that there may ever be: each has its counters.
pub(crate) fn possible_cpus() -> u32 {
    let count = aya::util::nr_cpus().ok().and_then(|count| u32::try_from(count).ok());
    count.unwrap_or(1).max(1)
}
