//! What must hold while things happen, one promise per file.

mod converged;
mod enforced;
mod masters;
mod peers_connected;

pub use converged::{Converged, converged};
pub use enforced::{Findings, enforced, enforced_at, locked_down, open, served};
pub use masters::{MasterChanges, MasterWatch, masters_now};
pub use peers_connected::PeersWatch;
