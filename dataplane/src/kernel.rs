//! The enforcer in the kernel.

mod watch;

use policy::{Direction, Guard, Image, LocalInterface, Obligation, TableId};

use crate::{
    abi::{Probe, TimeoutTicks},
    attach::{self, Attached, Ways},
    buckets::{Buckets, Carried},
    clock,
    enforcer::{
        Active, Attachment, Attestation, Counters, Enforcer, FlowEvents, Hook, HookStatus, Judgement, KernelConfig,
        Prepared, XdpMode,
    },
    error::{ActivateError, AttestError, GuardSetError, HookError, JudgeError, OpenError, PrepareError},
    events::Events,
    failpoint::failpoint,
    generation::Generations,
    grace,
    guard_maps::GuardMaps,
    judged::Judged,
    object::{Object, PROBE_WORDS},
    pin::{Held, Pins},
    predecessor::Predecessor,
    reason::Reason,
    rule_counts::RuleCounts,
    sizes::Placement,
    sys::Mapped,
    userspace::obligation_holds,
    vlan::Vlans,
};

/// The data path in the kernel. Dropping it leaves everything attached and enforcing.
pub struct Kernel {
    object: Object,
    pins: Pins,
    held: Held,
    interfaces: Vec<LocalInterface>,
    ways: Ways,
    vlans: Vlans,
    generations: Generations,
    buckets: Buckets,
    judged: Judged,
    counts: RuleCounts,
    guard: GuardMaps,
    events: Events,
    probe: Mapped,
    attached: Vec<Attached>,
    /// Programs of another layout are attached and stay until this one has a policy.
    predecessor: Option<Predecessor>,
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
        let vlans = Vlans::of(&config.interfaces).map_err(|source| OpenError::Links { source })?;
        let placement = Placement { sizes: config.sizes, cpus: possible_cpus() };
        let pins = Pins::prepare(&config.bpffs, placement.fingerprint())?;
        let predecessor = Predecessor::find(&pins);
        if let Some(predecessor) = &predecessor {
            predecessor.make_way(&pins, &placement);
        }
        let mut object = Object::load(&pins, &placement)?;
        let mut kernel = Kernel {
            generations: Generations::open(&object, placement)?,
            buckets: Buckets::open(&object, &placement)?,
            judged: Judged::open(&mut object)?,
            counts: RuleCounts::default(),
            guard: GuardMaps::open(&mut object)?,
            events: Events::open(&mut object)?,
            probe: object.mapped("hr_probe", PROBE_WORDS)?,
            predecessor,
            attached: Vec::new(),
            ways: Ways { xdp: config.xdp, tc: config.tc },
            vlans: Vlans::default(),
            interfaces: config.interfaces,
            held: Held::of(&pins)?,
            object,
            pins,
        };
        kernel.generations.grant_events();
        kernel.set_timeouts(&config.timeouts)?;
        kernel.set_vlans(vlans)?;
        kernel.begin()?;
        Ok(kernel)
    }

    /// Attaches at once, unless the programs of another layout have to go on until there is a policy.
    fn begin(&mut self) -> Result<(), OpenError> {
        match &self.predecessor {
            Some(predecessor) if self.generations.generation() == 0 => {
                self.generations.succeed(predecessor.generation());
                self.generations.set_disarmed(predecessor.disarmed());
                Ok(())
            }
            _ => self.attach(),
        }
    }

    /// Tells the programs which VLANs there are.
    fn set_vlans(&mut self, vlans: Vlans) -> Result<(), OpenError> {
        self.guard.set_vlans(&vlans.children).map_err(|error| Object::unusable("hr_vlan", &error))?;
        self.judged.set(&vlans.judged)?;
        self.vlans = vlans;
        Ok(())
    }

    /// Detaches everything and removes the pins: after this nothing is enforced.
    ///
    /// # Errors
    /// If the pins cannot be removed; hooks without pins are detached all the same.
    pub fn detach_all(self) -> Result<(), OpenError> {
        self.attached.into_iter().for_each(Attached::detach);
        if self.predecessor.is_some() {
            attach::drop_filters(&self.pins);
        }
        let path = self.pins.maps();
        self.pins.remove_all().map_err(|source| OpenError::Pins { path, source })
    }

    /// Whether the programs of another layout are still enforcing, until the next activation.
    pub fn is_waiting(&self) -> bool {
        self.predecessor.is_some()
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
        self.object.with_settings(object, self.generations.placement())
    }

    /// What arrives with a tag is not one of this interface, and XDP may not see the tag: where there are VLANs, listed or not, traffic
    /// control judges, whatever is configured.
    fn ways_at(&self, interface: &LocalInterface) -> Ways {
        if self.vlans.carried_by(interface.ifindex) { Ways { xdp: XdpMode::Off, ..self.ways } } else { self.ways }
    }

    /// Attaches everywhere, in the place of what is attached.
    fn attach(&mut self) -> Result<(), OpenError> {
        if let Some(predecessor) = &self.predecessor {
            predecessor.copy_state(&self.pins);
        }
        let mut attached = Vec::new();
        for interface in &self.interfaces {
            let ways = self.ways_at(interface);
            attached.extend(attach::attach_interface(&mut self.object, &self.pins, interface, ways)?);
            failpoint("interface-attached");
        }
        self.attached = attached;
        attach::drop_others(&self.pins, &self.interfaces);
        self.object.pin_programs(&self.pins)?;
        if let Some(predecessor) = &self.predecessor {
            // What was opened through the old programs while the new ones took their place.
            predecessor.copy_state(&self.pins);
        }
        failpoint("exchanged");
        if self.predecessor.take().is_some()
            && let Err(error) = grace::wait_for_grace()
        {
            tracing::warn!(%error, "a packet may still be in the old programs, and meet tables that go now");
        }
        // The map of the programs to hand on to is emptied with its last pin, also under a packet that is on its way there.
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
        self.buckets.fill(generation, image.tables.elements(TableId::Limits));
        self.generations.fill(&image.tables, revision, image.rules.len(), expected);
        // The same words have the same digest; that of what was read back is only computed when it has to be told.
        if !self.generations.holds(generation, &image.tables) {
            return Err(PrepareError::Digest { expected, found: self.generations.digest(generation) });
        }
        failpoint("read-back");
        self.prove(generation, obligations)?;
        failpoint("proven");
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
        let carried = Carried::of(&self.generations, before, prepared.generation);
        self.buckets.carry(&carried);
        self.generations.flip(prepared.generation);
        self.buckets.carry(&carried);
        self.counts.flipped(before);
        if self.is_waiting() {
            self.attach().map_err(|error| ActivateError::Exchange(Box::new(error)))?;
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
            hooks: self.attached.iter().map(watch::state_of).collect(),
            disarmed: self.generations.disarmed(),
        })
    }

    fn judge(&mut self, hook: Hook, frame: &[u8]) -> Result<Judgement, JudgeError> {
        let generation = self.generations.generation();
        self.ask(hook, generation, frame)
    }

    fn counters(&mut self) -> Counters {
        let mut reasons = Vec::new();
        for (hook, direction) in [Direction::Ingress, Direction::Egress].into_iter().enumerate() {
            let counts = Reason::ALL.iter().map(|r| (direction, *r, self.generations.reason_count(hook, *r)));
            reasons.extend(counts);
        }
        Counters { generation: self.generations.generation(), rules: self.counts.live(&self.generations), reasons }
    }

    fn flow_events(&mut self, max: usize) -> FlowEvents {
        let events = self.events.take(max);
        if events.len() < max {
            self.generations.grant_events();
        }
        FlowEvents { events, lost: self.generations.events_lost() }
    }

    fn set_disarmed(&mut self, disarmed: bool) {
        self.generations.set_disarmed(disarmed);
        if let Some(predecessor) = &self.predecessor {
            predecessor.set_disarmed(disarmed);
        }
    }

    fn disarmed(&self) -> bool {
        self.generations.disarmed()
    }

    fn enforces(&self) -> bool {
        self.active().is_some() || self.is_waiting()
    }

    fn check_hooks(&mut self) -> Result<Vec<HookStatus>, HookError> {
        self.look_at_hooks()
    }
}

fn program_fault(program: &str, error: &dyn std::error::Error) -> OpenError {
    OpenError::Program { program: program.to_owned(), message: error.to_string() }
}

/// Processors that there may ever be: each has its counters.
pub(crate) fn possible_cpus() -> u32 {
    let count = aya::util::nr_cpus().ok().and_then(|count| u32::try_from(count).ok());
    count.unwrap_or(1).max(1)
}
