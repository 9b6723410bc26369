//! Proof obligations: real Ethernet frames on which the loaded programs must answer, before a revision becomes active, exactly as the guard says (G0, layer 3).

use serde::{Deserialize, Serialize};

use crate::guard::Direction;

/// A frame and what the guard must say to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Obligation {
    /// The interface's number, and which way the frame goes.
    pub hook: (u32, Direction),
    /// The whole Ethernet frame, without the frame check sequence.
    pub frame: Vec<u8>,
    /// `true`: a sync flow, the guard must say yes. `false`: a near miss, the guard must not say yes.
    pub must_pass: bool,
    /// What the frame is, for whoever reads that it went wrong.
    pub why: String,
}
