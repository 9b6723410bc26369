//! Who belongs to the cluster.

use std::sync::Arc;

use identity::{Fingerprint, MemberRecord, NodeId};

use super::{
    DENIED_MAX, MEMBERS_MAX, REMOVED_MAX, RemovedMember, State,
    apply::{Moment, limit},
};
use crate::{
    command::NewMember,
    outcome::{Outcome, Refusal},
};

/// Addresses of one member, at most.
const MEMBER_ADDRESSES_MAX: usize = 64;
/// Bytes of a member's name, at most.
const MEMBER_NAME_BYTES_MAX: usize = 253;

impl State {
    /// Adds a member under the next id. The caller has dealt with its token.
    pub(super) fn add_member(&mut self, member: &NewMember) -> Result<NodeId, Refusal> {
        limit("members", self.members.len() + 1, MEMBERS_MAX)?;
        let Ok(node) = NodeId::new(self.next_node) else {
            return Err(Refusal::NotFounded);
        };
        let record = member.clone().into_record(node);
        self.check_member(&record)?;
        Arc::make_mut(&mut self.members).insert(node, record);
        self.next_node += 1;
        Ok(node)
    }

    pub(super) fn update_member(&mut self, record: &MemberRecord, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        if !self.members.contains_key(&record.node) {
            return Err(Refusal::UnknownMember(record.node));
        }
        self.check_member(record)?;
        Arc::make_mut(&mut self.members).insert(record.node, record.clone());
        Ok(Outcome { node: Some(record.node), ..Outcome::at(moment.index) })
    }

    pub(super) fn remove_member(&mut self, node: NodeId, moment: Moment<'_>) -> Result<Outcome, Refusal> {
        let Some(record) = self.members.get(&node).cloned() else {
            return Err(Refusal::UnknownMember(node));
        };
        let others_with_data_path = self.members.values().any(|other| other.node != node && !other.witness);
        if !others_with_data_path && !record.witness {
            return Err(Refusal::LastMember(node));
        }
        limit("denied keys", self.denied.len() + 1, DENIED_MAX)?;
        Arc::make_mut(&mut self.members).remove(&node);
        Arc::make_mut(&mut self.denied).insert(record.fingerprint);
        let removed = Arc::make_mut(&mut self.removed);
        removed.insert(node, RemovedMember { record, index: moment.index, at_ms: moment.at_ms });
        while removed.len() > REMOVED_MAX {
            removed.pop_first();
        }
        Ok(Outcome { node: Some(node), ..Outcome::at(moment.index) })
    }

    /// What must hold of every record: names and keys are unique, no key is denied, sizes are bounded.
    fn check_member(&self, record: &MemberRecord) -> Result<(), Refusal> {
        limit("bytes of a member's name", record.name.len(), MEMBER_NAME_BYTES_MAX)?;
        limit("addresses of a member", record.addresses.len(), MEMBER_ADDRESSES_MAX)?;
        if self.denied.contains(&record.fingerprint) {
            return Err(Refusal::DeniedKey);
        }
        let others = || self.members.values().filter(|other| other.node != record.node);
        if let Some(other) = others().find(|other| other.fingerprint == record.fingerprint) {
            return Err(Refusal::DuplicateKey(other.node));
        }
        if let Some(other) = others().find(|other| other.name == record.name) {
            return Err(Refusal::DuplicateName { name: record.name.clone(), node: other.node });
        }
        Ok(())
    }

    /// The member with this key.
    #[must_use]
    pub fn member_by_key(&self, fingerprint: &Fingerprint) -> Option<&MemberRecord> {
        self.members.values().find(|member| member.fingerprint == *fingerprint)
    }
}
