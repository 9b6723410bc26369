//! The programs compiled for this machine and the userspace enforcer, shown the same packets: they must say and do the same.

use std::{
    collections::{BTreeMap, VecDeque},
    io,
};

use policy::{Direction, Guard, Image, LocalInterface};

use super::native::{Native, Ran, Run, Wire};
use crate::{
    enforcer::{Enforcer, Hook, Judgement, Timeouts},
    object,
    reason::Reason,
    sizes::TableSizes,
    userspace::Userspace,
};

/// Runs under way. Their answers, 20 bytes each, must fit into a pipe that nobody reads.
const RUNS_MAX: usize = 1_024;
/// What the clocks show at first, in seconds.
const BEGIN_S: u64 = 1_000;
/// `HR_LINEAR` of bpf/hedgerow.bpf.c: so many bytes of a packet of any shape are seen.
const LINEAR_BYTES: usize = 192;

const XDP_DROP: i32 = 1;
const XDP_PASS: i32 = 2;
const TC_ACT_UNSPEC: i32 = -1;
const TC_ACT_OK: i32 = 0;
const TC_ACT_SHOT: i32 = 2;

/// How a packet comes to the live programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// XDP; what leaves, by clsact.
    Xdp,
    /// XDP that knows frames of many buffers; what leaves, by clsact.
    XdpFrags,
    /// One program of traffic control.
    Clsact,
    /// The guard's program and then the other one.
    Tcx,
}

impl Arrival {
    /// Every way.
    pub const ALL: [Arrival; 4] = [Arrival::Xdp, Arrival::XdpFrags, Arrival::Clsact, Arrival::Tcx];
}

/// Why two that should agree could not be shown to.
#[derive(Debug, thiserror::Error)]
pub enum TwinError {
    /// They do not.
    #[error("{0}")]
    Disagree(String),
    /// The programs do not answer.
    #[error("the natively compiled programs do not answer: {0}")]
    Wire(#[from] io::Error),
}

/// A run whose answer has not been looked at.
struct Pending {
    program: &'static str,
    hook: Hook,
    frame: Vec<u8>,
    expected: Expected,
}

#[derive(Debug, Clone, Copy)]
enum Expected {
    Judgement(Judgement),
    Action(i32),
    Anything,
}

/// Both, in the same state.
pub struct Twins<W> {
    native: Native<W>,
    userspace: Userspace,
    /// The image of the half that is not live.
    spare: Option<Image>,
    pending: VecDeque<Pending>,
    now_s: u64,
    /// The programs were shown something that the userspace enforcer cannot be shown: from here on they may differ.
    parted: bool,
    seen: BTreeMap<Reason, u64>,
}

impl<W: Wire> Twins<W> {
    /// Both without a policy, in a world of the programs that nobody else uses.
    ///
    /// # Errors
    /// If the guard does not fit or the programs do not answer.
    pub fn new(
        wire: W,
        world: u32,
        interfaces: &[LocalInterface],
        guard: &Guard,
        sizes: TableSizes,
    ) -> Result<Twins<W>, TwinError> {
        let timeouts = Timeouts::default();
        let mut twins = Twins {
            native: Native::new(wire, world, sizes, &timeouts)?,
            userspace: Userspace::new(interfaces.to_vec(), sizes, timeouts),
            spare: None,
            pending: VecDeque::new(),
            now_s: BEGIN_S,
            parted: false,
            seen: BTreeMap::new(),
        };
        twins.begin()?;
        twins.set_vlans(&BTreeMap::new())?;
        twins.set_guard(guard)?;
        Ok(twins)
    }

    /// Replaces the guard.
    ///
    /// # Errors
    /// If it does not fit or the programs do not answer.
    pub fn set_guard(&mut self, guard: &Guard) -> Result<(), TwinError> {
        self.userspace.set_guard(guard).map_err(io::Error::other)?;
        self.native.set_guard(guard)?;
        Ok(())
    }

    /// Replaces what is known of VLANs: by the device that sees the tags, and the outer and the inner one or 0, the device to which they lead.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn set_vlans(&mut self, vlans: &BTreeMap<(u32, (u16, u16)), u32>) -> Result<(), TwinError> {
        self.userspace.set_vlans(vlans.clone());
        self.native.set_vlans(vlans)?;
        Ok(())
    }

    /// Forgets what was seen. The policy that is live stays so.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn begin(&mut self) -> Result<(), TwinError> {
        self.settle()?;
        self.native.enter()?;
        self.native.forget()?;
        self.userspace.forget();
        self.parted = false;
        self.set_clock(BEGIN_S)
    }

    /// Makes an image the live one.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn activate(&mut self, image: Image) -> Result<(), TwinError> {
        self.set_spare(image)?;
        self.flip()
    }

    /// Loads an image beside the live one.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn set_spare(&mut self, image: Image) -> Result<(), TwinError> {
        self.native.fill(self.userspace.generation() + 1, &image)?;
        self.spare = Some(image);
        Ok(())
    }

    /// Makes the other image the live one, if there is another.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn flip(&mut self) -> Result<(), TwinError> {
        let Some(image) = self.spare.take() else { return Ok(()) };
        self.spare = self.userspace.exchange(image);
        self.native.flip(self.userspace.generation())?;
        Ok(())
    }

    /// The live generation.
    pub fn generation(&self) -> u32 {
        self.userspace.generation()
    }

    /// How often each reason was the judgement.
    pub fn seen(&self) -> &BTreeMap<Reason, u64> {
        &self.seen
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn wait(&mut self, seconds: u64) -> Result<(), TwinError> {
        self.set_clock(self.now_s + seconds)
    }

    /// Turns the clocks back, as one sees them who has read them before another processor did.
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn turn_back(&mut self, seconds: u64) -> Result<(), TwinError> {
        self.set_clock(self.now_s - seconds)
    }

    fn set_clock(&mut self, now_s: u64) -> Result<(), TwinError> {
        self.now_s = now_s;
        self.userspace.stop_clock(now_s);
        self.native.set_clock(now_s)?;
        Ok(())
    }

    /// Asks both what they would do with a frame. Traffic control sees `linear` bytes of it at first; 0: all.
    ///
    /// # Errors
    /// If they disagree, on this or an earlier frame.
    pub fn judge(&mut self, hook: Hook, frame: &[u8], linear: usize) -> Result<Judgement, TwinError> {
        let judgement = self.userspace.probe(hook, frame);
        *self.seen.entry(judgement.reason).or_default() += 1;
        let programs: &[&'static str] = match hook.direction {
            Direction::Ingress => &[object::ASK_XDP, object::ASK_INGRESS],
            Direction::Egress => &[object::ASK_EGRESS],
        };
        for program in programs {
            // XDP has no way to ask for more; traffic control asks for so much.
            let all = *program == object::ASK_XDP || frame.len() > LINEAR_BYTES;
            self.run(program, hook, frame, if all { 0 } else { linear }, Expected::Judgement(judgement))?;
        }
        Ok(judgement)
    }

    /// Lets a frame through both, or not: they count and remember. Traffic control sees `linear` bytes of it at first; 0: all.
    ///
    /// # Errors
    /// If they disagree, on this or an earlier frame.
    pub fn receive(
        &mut self,
        arrival: Arrival,
        hook: Hook,
        frame: &[u8],
        linear: usize,
    ) -> Result<Judgement, TwinError> {
        let linear = if frame.len() > LINEAR_BYTES { 0 } else { linear };
        let judgement = self.userspace.receive(hook, frame);
        let (egress, pass) = (hook.direction == Direction::Egress, judgement.pass);
        let by_xdp = matches!(arrival, Arrival::Xdp | Arrival::XdpFrags) && !egress;
        if by_xdp {
            let program = if arrival == Arrival::Xdp { object::XDP } else { object::XDP_FRAGS };
            let action = if pass { XDP_PASS } else { XDP_DROP };
            self.run(program, hook, frame, 0, Expected::Action(action))?;
            return Ok(judgement);
        }
        if arrival == Arrival::Tcx {
            let program = if egress { object::GUARD_EGRESS } else { object::GUARD_INGRESS };
            let guarded = judgement.reason.is_guard();
            let action = if guarded { TC_ACT_OK } else { TC_ACT_UNSPEC };
            self.run(program, hook, frame, linear, Expected::Action(action))?;
            if guarded {
                return Ok(judgement);
            }
        }
        let program = if egress { object::EGRESS } else { object::INGRESS };
        let action = if pass { TC_ACT_UNSPEC } else { TC_ACT_SHOT };
        self.run(program, hook, frame, linear, Expected::Action(action))?;
        Ok(judgement)
    }

    /// Shows the programs alone a frame of which only `linear` bytes can be had, for the sake of the sanitizers. Nothing is compared
    /// from here on, until [`Twins::begin`].
    ///
    /// # Errors
    /// If the programs do not answer.
    pub fn receive_cut(&mut self, hook: Hook, frame: &[u8], linear: usize) -> Result<(), TwinError> {
        let programs: &[&'static str] = match hook.direction {
            Direction::Ingress => &[object::XDP_FRAGS, object::INGRESS, object::GUARD_INGRESS],
            Direction::Egress => &[object::EGRESS, object::GUARD_EGRESS],
        };
        self.parted = true;
        programs.iter().try_for_each(|program| self.run(program, hook, frame, linear, Expected::Anything))
    }

    fn run(
        &mut self,
        program: &'static str,
        hook: Hook,
        frame: &[u8],
        linear: usize,
        expected: Expected,
    ) -> Result<(), TwinError> {
        if self.pending.len() >= RUNS_MAX {
            self.settle()?;
        }
        self.native.run(&Run { program, ifindex: hook.ifindex, linear, frame })?;
        let expected = if self.parted { Expected::Anything } else { expected };
        self.pending.push_back(Pending { program, hook, frame: frame.to_vec(), expected });
        Ok(())
    }

    /// Looks at every answer that is due.
    ///
    /// # Errors
    /// If they disagree.
    pub fn settle(&mut self) -> Result<(), TwinError> {
        while let Some(pending) = self.pending.pop_front() {
            let ran = self.native.ran()?;
            if !pending.expected.is(&ran) {
                return Err(pending.disagreement(&ran));
            }
        }
        Ok(())
    }

    /// Compares everything that both have counted.
    ///
    /// # Errors
    /// If they disagree.
    pub fn compare_counters(&mut self) -> Result<(), TwinError> {
        self.settle()?;
        if self.parted {
            return Ok(());
        }
        let counters = self.userspace.counters();
        for direction in [Direction::Ingress, Direction::Egress] {
            let there = self.native.reasons(direction)?;
            for reason in Reason::ALL {
                let (here, there) = (counters.reason(direction, *reason), there[reason.number() as usize]);
                agree(here == there, || format!("{direction} {reason}: userspace counted {here:?}, native {there:?}"))?;
            }
        }
        let there = self.native.rules(counters.rules.len())?;
        for (rule, (here, there)) in counters.rules.iter().zip(&there).enumerate() {
            agree(here == there, || format!("rule {rule}: userspace counted {here:?}, native {there:?}"))?;
        }
        Ok(())
    }
}

fn agree(yes: bool, why_not: impl FnOnce() -> String) -> Result<(), TwinError> {
    if yes { Ok(()) } else { Err(TwinError::Disagree(why_not())) }
}

impl Expected {
    fn is(&self, ran: &Ran) -> bool {
        match self {
            Expected::Judgement(judgement) => {
                let rules = (judgement.ingress_rule, judgement.egress_rule);
                (ran.reason, ran.rules) == (judgement.reason.number(), rules)
            }
            Expected::Action(action) => ran.action == *action,
            Expected::Anything => true,
        }
    }
}

impl Pending {
    fn disagreement(&self, ran: &Ran) -> TwinError {
        let reason = Reason::from_number(ran.reason).map_or("an unknown reason", Reason::name);
        TwinError::Disagree(format!(
            "{} at {}: userspace says {:?}, native {reason} {ran:?}\nframe {:02x?}",
            self.program, self.hook, self.expected, self.frame
        ))
    }
}
