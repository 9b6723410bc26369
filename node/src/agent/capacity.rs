//! Whether a guard that would be asked for fits, before the log is asked for what brings it (G0).
//!
//! What is committed holds on every node, and a guard that does not fit then is not made: the old one stays, and the new member's
//! flows are not open. So whoever proposes a member, an address or a channel asks first, and the log takes it only if members and
//! channels are still those that were judged. A node judges by its own interfaces and channels; those of the others may differ,
//! and for them the alarm remains.

pub(crate) mod judged;

use identity::{MemberRecord, NodeId};
use policy::{Channel, Diagnostic, Document, Guard, GuardError, Kind, LocalInterface};
use raft::{NewMember, State};

use super::{channels, mesh::Mesh, site::Site};

/// The guard of this node would not fit. Nothing was proposed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{node} could not keep every sync flow open with that, so it was not proposed: {source}")]
pub(crate) struct NoRoom {
    /// The node that judges.
    node: NodeId,
    /// The limit, what is needed, and what there is.
    source: GuardError,
}

/// What a node judges by.
#[derive(Debug)]
pub(crate) struct Capacity<'a> {
    me: NodeId,
    interfaces: &'a [LocalInterface],
    port: u16,
    /// The channels of the configuration.
    configured: &'a [Channel],
    state: &'a State,
    /// What is open now: the old stays open beside the new for a while.
    in_force: &'a Guard,
}

impl<'a> Capacity<'a> {
    /// What this node would judge by in this state.
    #[must_use]
    pub(crate) fn new(site: &'a Site, mesh: &Mesh, state: &'a State, in_force: &'a Guard) -> Self {
        Self {
            me: mesh.me(),
            interfaces: &site.interfaces,
            port: site.listen().port(),
            configured: &site.config.channels,
            state,
            in_force,
        }
    }

    /// Whether one more member fits. One that is a member already is only given its answer again.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn for_newcomer(&self, member: &NewMember) -> Result<(), NoRoom> {
        if self.state.member_by_key(&member.fingerprint).is_some() {
            return Ok(());
        }
        let last = self.state.members.keys().last().map_or(0, |node| node.get());
        // There is always a number that no member has.
        let node = NodeId::new(last.saturating_add(1)).unwrap_or(self.me);
        self.for_record(&member.clone().into_record(node))
    }

    /// Whether a member fits as it is, or is to be.
    ///
    /// # Errors
    /// It does not.
    pub(crate) fn for_record(&self, record: &MemberRecord) -> Result<(), NoRoom> {
        let others = self.state.members.values().filter(|member| member.node != record.node);
        let members: Vec<MemberRecord> = others.chain([record]).cloned().collect();
        self.check(&channels::agreed(self.state), &members)
    }

    /// Whether the channels that these documents declare fit beside those of the live revision.
    ///
    /// # Errors
    /// They do not. The finding points at the first one past the limit, in the order in which they were written.
    pub(crate) fn for_documents(&self, documents: &[Document]) -> Result<(), Diagnostic> {
        let live = channels::live(self.state);
        let members: Vec<MemberRecord> = self.state.members.values().cloned().collect();
        let mut declaring: Vec<&Document> =
            documents.iter().filter(|document| document.kind() == Kind::SyncChannel).collect();
        declaring.sort_by_key(|document| document.written());
        let fits = |count: usize| {
            let declared = declaring[..count].iter().flat_map(|document| channels::of(std::slice::from_ref(*document)));
            self.check(&live.iter().cloned().chain(declared).collect::<Vec<_>>(), &members)
        };
        let Err(no_room) = fits(declaring.len()) else { return Ok(()) };
        let counts: Vec<usize> = (1..=declaring.len()).collect();
        let before = counts.partition_point(|&count| fits(count).is_ok());
        Err(match declaring.get(before) {
            Some(document) => document
                .finding(document.place(), no_room.to_string())
                .help(format!("\"{}\" is the first channel past that; take it or another one out", document.name)),
            None => Diagnostic::without_place("the channels in force", no_room.to_string()),
        })
    }

    fn check(&self, agreed: &[Channel], members: &[MemberRecord]) -> Result<(), NoRoom> {
        let all = [self.configured, agreed].concat();
        let wanted = policy::guard(self.me, self.interfaces, &all, members, self.port);
        let both = wanted.and_then(|wanted| self.in_force.union(&wanted));
        both.map(drop).map_err(|source| NoRoom { node: self.me, source })
    }
}

#[cfg(test)]
mod tests;
