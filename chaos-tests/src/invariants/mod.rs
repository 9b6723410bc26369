//! What must hold while things happen, one promise per file.

mod converged;
mod masters;
mod peers_connected;

pub use converged::{Converged, converged};
pub use masters::{MasterWatch, masters_now};
pub use peers_connected::PeersWatch;
