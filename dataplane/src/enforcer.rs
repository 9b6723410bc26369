//! What a node asks of its data path, whatever enforces: the kernel or this process.

use std::{fmt, path::PathBuf};

use identity::Digest;
use policy::{Direction, Flow, Guard, Image, LocalInterface, Obligation};

use crate::{
    error::{ActivateError, AttestError, GuardSetError, HookError, JudgeError, PrepareError},
    reason::Reason,
    sizes::TableSizes,
};

/// A data path. Calls block for microseconds to milliseconds; run them on a thread of their own.
pub trait Enforcer: Send {
    /// Replaces the guard: everything new is added before anything old is removed (G0).
    fn set_guard(&mut self, guard: &Guard) -> Result<(), GuardSetError>;

    /// Loads an image beside the live one, reads it back, compares digests and proves the obligations on it.
    fn prepare(&mut self, revision: u64, image: &Image, obligations: &[Obligation]) -> Result<Prepared, PrepareError>;

    /// Makes a prepared image the live one, for every hook, direction and family at once.
    fn activate(&mut self, prepared: Prepared) -> Result<Active, ActivateError>;

    /// What is live; `None` before the first activation.
    fn active(&self) -> Option<Active>;

    /// Tells what the image is that was live before this process began, so that its rules go on counting by name in the revisions that
    /// follow. Whether it is that image; if not, nothing is taken from it.
    fn adopt(&mut self, image: &Image) -> bool;

    /// What is enforced at this moment, read back from where it is enforced.
    fn attest(&mut self) -> Result<Attestation, AttestError>;

    /// What the live generation does with a frame; nothing is counted or remembered.
    fn judge(&mut self, hook: Hook, frame: &[u8]) -> Result<Judgement, JudgeError>;

    /// Packets and bytes by rule of the live image and by reason.
    fn counters(&mut self) -> Counters;

    /// Takes flow events, oldest first, at most `max`: packets refused or observed, and what rules want logged.
    fn flow_events(&mut self, max: usize) -> FlowEvents;

    /// Lets everything pass (counted as such), or ends that.
    fn set_disarmed(&mut self, disarmed: bool);

    /// Whether everything passes by order of the operator.
    fn disarmed(&self) -> bool;

    /// Whether packets are judged by an earlier policy, also where it will only be replaced and not taken over.
    fn enforces(&self) -> bool {
        self.active().is_some()
    }

    /// Looks whether the programs are still attached, before all others, and pinned, and puts right what is not (G20).
    fn check_hooks(&mut self) -> Result<Vec<HookStatus>, HookError>;
}

/// A place where packets are judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hook {
    /// The interface's number.
    pub ifindex: u32,
    /// Arriving or leaving.
    pub direction: Direction,
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "interface {} {}", self.ifindex, self.direction)
    }
}

/// An image that is loaded and proven, and waits for its activation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// The generation that it will be.
    pub generation: u32,
    /// The revision of the policy.
    pub revision: u64,
    /// The digest of the image, as compiled and as read back.
    pub digest: Digest,
    /// Frames on which it was proven.
    pub proven: usize,
}

/// The live image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    /// Goes up by one with each activation, also with a rollback (G6).
    pub generation: u32,
    /// The revision of the policy.
    pub revision: u64,
    /// The digest of the image.
    pub digest: Digest,
}

/// What is enforced, as read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attestation {
    /// What is recorded as live.
    pub active: Option<Active>,
    /// The digest computed now from the tables that packets read.
    pub digest: Option<Digest>,
    /// Name and tag (hash of its instructions) of each loaded program.
    pub programs: Vec<(String, u64)>,
    /// Where they are attached.
    pub hooks: Vec<HookStatus>,
    /// Whether everything passes by order of the operator.
    pub disarmed: bool,
}

impl Attestation {
    /// Whether what packets read is what was activated, at every hook.
    pub fn holds(&self) -> bool {
        self.active.map(|active| active.digest) == self.digest && self.hooks.iter().all(|hook| hook.state.attached())
    }
}

/// What happens to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judgement {
    /// Whether it goes on.
    pub pass: bool,
    /// Why.
    pub reason: Reason,
    /// The rule of the destination's ingress, an index into the image's rules; 0 when policy was not asked.
    pub ingress_rule: u32,
    /// The rule of the source's egress.
    pub egress_rule: u32,
}

/// Packets and bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Count {
    /// Packets; segments of a large one count each.
    pub packets: u64,
    /// Bytes of whole frames.
    pub bytes: u64,
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Count) {
        self.packets += other.packets;
        self.bytes += other.bytes;
    }
}

/// Everything that is counted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// The generation to which the rules belong.
    pub generation: u32,
    /// By rule of the live image. A rule that was in the revisions before, by the same policy, side and name, goes on counting: since
    /// this process began, or since the image became live that it [adopted](Enforcer::adopt).
    pub rules: Vec<Count>,
    /// By direction and reason, since the maps were made.
    pub reasons: Vec<(Direction, Reason, Count)>,
}

impl Counters {
    /// The count of one reason in one direction.
    pub fn reason(&self, direction: Direction, reason: Reason) -> Count {
        let found = self.reasons.iter().find(|(d, r, _)| (*d, *r) == (direction, reason));
        found.map_or(Count::default(), |(_, _, count)| *count)
    }
}

/// A packet worth telling of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowEvent {
    /// When, in nanoseconds of the monotonic clock.
    pub at_ns: u64,
    /// Where.
    pub hook: Hook,
    /// Whose packet.
    pub flow: Flow,
    /// Flags of TCP; 0 for all else.
    pub tcp_flags: u8,
    /// What happened to it and why.
    pub reason: Reason,
    /// The rule of the destination's ingress in the image of that generation.
    pub ingress_rule: u32,
    /// The rule of the source's egress.
    pub egress_rule: u32,
    /// Whose rules these are.
    pub generation: u32,
    /// Bytes of the frame.
    pub bytes: u32,
    /// A rule asks for it.
    pub logged: bool,
}

/// Flow events that were taken.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlowEvents {
    /// Oldest first.
    pub events: Vec<FlowEvent>,
    /// Events that were lost since the maps were made, because there were too many or nobody took them.
    pub lost: u64,
}

/// How a program is attached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Attachment {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the network stack.
    XdpGeneric,
    /// TCX (6.6 and newer).
    Tcx,
    /// A filter of the clsact queueing discipline.
    Clsact,
    /// Not in the kernel: this process judges what it is shown.
    Userspace,
}

impl fmt::Display for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Attachment::XdpNative => "xdp native",
            Attachment::XdpGeneric => "xdp generic",
            Attachment::Tcx => "tcx",
            Attachment::Clsact => "clsact",
            Attachment::Userspace => "userspace",
        })
    }
}

/// How it stands with an attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookState {
    /// Where it should be.
    Attached,
    /// Somebody had detached it, put something before it or removed its pins; put right by this check.
    Repaired,
    /// Not attached, or not before all others, and could not be.
    Missing {
        /// Why not.
        because: String,
    },
}

impl HookState {
    /// Whether packets are judged here now.
    pub fn attached(&self) -> bool {
        !matches!(self, HookState::Missing { .. })
    }
}

/// One attachment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookStatus {
    /// Where.
    pub hook: Hook,
    /// The interface's name.
    pub interface: String,
    /// How.
    pub attachment: Attachment,
    /// Whether.
    pub state: HookState,
}

/// Where XDP is used for what arrives. Never on an interface on which there is a VLAN, attached to or not: it may not see the tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum XdpMode {
    /// In the driver if it can, else in the stack.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the stack.
    Generic,
    /// TCX (or clsact) ingress instead.
    Off,
}

/// How programs attach to traffic control.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum TcMode {
    /// TCX where the kernel has it, else clsact.
    #[default]
    Auto,
    /// clsact, also where there is TCX.
    Clsact,
}

/// What [`Kernel::open`](crate::Kernel::open) needs to know.
#[derive(Debug, Clone)]
pub struct KernelConfig {
    /// A directory on a BPF file system; `hedgerow` is made in it.
    pub bpffs: PathBuf,
    /// The interfaces to attach to.
    pub interfaces: Vec<LocalInterface>,
    /// Sizes of the tables.
    pub sizes: TableSizes,
    /// XDP or not.
    pub xdp: XdpMode,
    /// TCX or not.
    pub tc: TcMode,
    /// Idle times of remembered flows.
    pub timeouts: Timeouts,
}

/// After how many idle seconds a remembered flow is forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TCP before the answer.
    pub tcp_opening_s: u32,
    /// TCP.
    pub tcp_s: u32,
    /// TCP after FIN or RST.
    pub tcp_closing_s: u32,
    /// UDP before the answer.
    pub udp_opening_s: u32,
    /// UDP.
    pub udp_s: u32,
    /// Every other protocol.
    pub other_s: u32,
    /// The later fragments of a datagram.
    pub fragment_s: u32,
    /// Whether a TCP segment in the middle of a flow whose opening would be allowed makes an entry (after a fail-over).
    pub pickup: bool,
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        Timeouts {
            tcp_opening_s: 60,
            tcp_s: 7_200,
            tcp_closing_s: 60,
            udp_opening_s: 30,
            udp_s: 180,
            other_s: 60,
            fragment_s: 30,
            pickup: true,
        }
    }
}
