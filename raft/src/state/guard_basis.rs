//! What the nodes' guards are made of, as far as the log decides it.
//!
//! Whether a guard fits is judged by each node, for it depends on the node's own interfaces and channels, and the state machine must
//! know neither. What it can tell is whether anything has changed since a node judged: so two members that judge at the
//! same moment do not both write.

use identity::Digest;

use super::{State, image};
use crate::{command::Proposal, outcome::Refusal};

impl State {
    /// The SHA-256 over everything here that guards are made of: the members' records, and which revisions are live and
    /// wanted, for their documents declare channels. Equal states of these give equal digests on every node.
    #[must_use]
    pub fn guard_basis(&self) -> Digest {
        let live = self.active.map(|epoch| epoch.revision);
        let aborted = self.aborted.as_ref().map(|aborted| aborted.revision);
        image::digest_over(&(&self.members, live, self.revision(), aborted))
    }

    /// Refuses what was judged by another basis than this one.
    pub(super) fn check_guard_basis(&self, proposal: &Proposal) -> Result<(), Refusal> {
        match proposal.guard_basis {
            Some(basis) if basis != self.guard_basis() => Err(Refusal::GuardMoved),
            _ => Ok(()),
        }
    }
}
