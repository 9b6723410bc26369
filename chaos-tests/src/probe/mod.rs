//! What is asked from outside: does it answer, who is master, are the peers connected.

mod conversation;
mod http;
mod peers;
mod stall;
mod stream;
mod tcp;
mod vrrp;

pub use conversation::{Conversation, Heard};
pub use http::{HttpAnswer, HttpProbe, ProbeFailure};
pub use peers::{PeerLine, peers, stick_table};
pub use stall::{Stall, stalls};
pub use stream::{Expect, Stream, Tally};
pub use tcp::connect;
pub use vrrp::{VrrpEvent, VrrpState, events};
