//! SWIM membership as a state machine, and the ballot of a forming cluster.
//!
//! Nothing here owns a socket, a clock or a thread: bytes and elapsed timers go in, actions come out. Who is *alive* is
//! decided here, by gossip; who *votes* is decided by Raft, and gossip never changes it (G14).
//!
//! | module | what it knows |
//! |---|---|
//! | [`Cluster`] | the state machine: input in, actions out |
//! | [`Meta`], [`Member`] | what members tell of themselves, and how they are seen |
//! | [`Input`], [`Action`], [`Event`] | its borders |
//! | [`forming`] | how N nodes started alike agree, once and for ever, on who they are |
//!
//! Inside: `swim` drives foca and hides it, `records` keeps the newest metadata of everybody, `datagram` is the form of
//! both on the wire.

mod cluster;
mod codec;
mod config;
mod datagram;
mod event;
pub mod forming;
mod incarnation;
mod member;
mod records;
mod swim;

pub use cluster::{Cluster, MEMBERS_MAX};
pub use config::Config;
pub use datagram::PACKET_BYTES_MAX;
pub use event::{Action, Event, Input, Timer};
pub use forming::{Ballot, Candidate, Forming};
pub use incarnation::INCARNATION_MAX;
pub use member::{Attested, LocalMember, Member, MemberState, Meta};
