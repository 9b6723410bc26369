//! Namespaces, networks and daemons under one roof that is always torn down.

mod daemon;
mod leftovers;
mod namespace;
mod network;
mod roof;
mod signals;

pub use daemon::Daemon;
pub use leftovers::{Leftover, clean, leftovers};
pub use namespace::Namespace;
pub use network::{Cut, Network};
pub use roof::{KEPT_MARK, Lab, PREFIX};
pub(crate) use signals::wait_if_interrupted;
