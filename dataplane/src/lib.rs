//! Everything that touches bpf(2): programs, maps, links, generations, guard, preflight. The only crate with unsafe code.
//!
//! ```text
//! enforcer error reason     what a node asks of a data path, and what it hears
//! kernel                    the enforcer in the kernel
//!   object attach pin       programs; where they are attached; how they outlive the process
//!   generation grace guard_maps gate   the tables that packets read
//!   buckets judged          what limits of rules are charged to, and where
//!   predecessor             the tables of another layout, until they are exchanged
//!   rule_counts events      what is counted and told
//! userspace                 the enforcer in this process
//!   abi settings sizes elf btf clock netlink links vlan sys   what C and Rust share; what the kernel offers
//!   failpoint               where tests let the process die
//! ```

mod abi;
mod attach;
mod btf;
mod buckets;
mod clock;
mod elf;
mod enforcer;
mod error;
mod events;
mod failpoint;
mod gate;
mod generation;
mod grace;
mod guard_maps;
mod judged;
mod kernel;
mod links;
mod netlink;
mod object;
mod pin;
mod predecessor;
mod reason;
mod rule_counts;
mod settings;
mod sizes;
mod sys;
#[doc(hidden)]
pub mod testing;
mod userspace;
mod vlan;

pub use enforcer::{
    Active, Attachment, Attestation, Count, Counters, Enforcer, FlowEvent, FlowEvents, Hook, HookState, HookStatus,
    Judgement, KernelConfig, Prepared, TcMode, Timeouts, XdpMode,
};
pub use error::{
    ActivateError, AttachError, AttestError, GuardSetError, HookError, JudgeError, NoEthernet, OpenError, PrepareError,
};
pub use kernel::Kernel;
pub use reason::{DROP_FIRST, Reason};
pub use sizes::{IMAGE_BYTES_OLD_KERNELS_MAX, ImageSize, TableSizes};
pub use userspace::Userspace;
