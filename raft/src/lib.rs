//! The replicated policy log: what the cluster has agreed on, durably, and how it agrees.
//!
//! A write becomes a [`Proposal`]; any node takes it and forwards it to the leader ([`Raft::write`]). The leader
//! appends it to its log ([`log_store`]), replicates it over a [`Wire`] ([`network`]), and once a quorum has it on
//! disk every node applies it to its [`State`] ([`state`]), a pure function. Nothing outside this crate sees openraft.

mod autopilot;
mod codec;
mod command;
mod config;
mod forward;
mod handle;
mod heard;
mod log_store;
mod metrics;
mod network;
mod outcome;
mod snapshot;
mod state;
mod state_machine;
mod types;
mod upkeep;

/// Every bound that this crate keeps, by name.
pub mod limits {
    pub use crate::{
        command::{ACTOR_BYTES_MAX, MESSAGE_TEXT_BYTES_MAX, PROPOSAL_BYTES_MAX},
        config::VOTERS_MAX,
        network::FRAME_BYTES_MAX,
        state::limits::*,
    };
}

pub use command::{Command, Genesis, NewMember, Proposal, TokenRecord, TokenUse};
pub use config::{AutopilotConfig, Compaction, RaftConfig, Timing};
pub use handle::{InitialiseError, Raft, ReadError, ShutdownError, StartError, WriteError};
pub use log_store::{Damage, EXIT_STORAGE_FAILED};
pub use metrics::{RaftMetrics, RaftState};
pub use network::{Channel, FrameSink, FrameSource, Wire, WireError};
pub use outcome::{Outcome, Refusal};
pub use state::{Aborted, AuditEntry, Epoch, LogId, RemovedMember, RevisionInfo, State};
