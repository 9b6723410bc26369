//! The audit log: every write that took effect, with its actor, in a hash chain (G16).

use std::sync::Arc;

use identity::Digest;
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::window::Window;

/// Audit entries kept in the state, at least; the chain's head covers all that ever were.
pub const AUDIT_KEPT: usize = 1024;

/// One write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Counts audit entries from 1.
    pub sequence: u64,
    /// The log index of the write.
    pub index: u64,
    /// When the accepting node took it, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who asked.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// SHA-256 over the link before and over this entry.
    pub link: Digest,
}

#[derive(Debug, Clone)]
pub(super) struct Audit {
    pub head: Digest,
    pub sequence: u64,
    pub recent: Window<Arc<AuditEntry>, AUDIT_KEPT>,
}

impl Default for Audit {
    fn default() -> Self {
        Self { head: Digest([0; 32]), sequence: 0, recent: Window::default() }
    }
}

impl Audit {
    pub(super) fn record(&mut self, index: u64, at_ms: u64, actor: &str, action: String) {
        self.sequence += 1;
        let mut entry =
            AuditEntry { sequence: self.sequence, index, at_ms, actor: actor.to_owned(), action, link: self.head };
        entry.link = entry.link_after(self.head);
        self.head = entry.link;
        self.recent.push(Arc::new(entry));
    }
}

impl AuditEntry {
    /// The link that this entry must carry when it follows `previous`.
    #[must_use]
    pub fn link_after(&self, previous: Digest) -> Digest {
        let mut hash = Context::new(&SHA256);
        hash.update(&previous.0);
        for number in [self.sequence, self.index, self.at_ms] {
            hash.update(&number.to_le_bytes());
        }
        for text in [&self.actor, &self.action] {
            hash.update(&(text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        digest_of(hash)
    }
}

pub(super) fn digest_of(hash: Context) -> Digest {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(hash.finish().as_ref());
    Digest(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    // G16: an entry cannot be changed, dropped or inserted without breaking the chain.
    #[test]
    fn every_entry_follows_from_the_one_before() {
        let mut audit = Audit::default();
        for index in 1..=5 {
            audit.record(index, index * 1000, "alice", format!("apply {index}"));
        }
        let mut link = Digest([0; 32]);
        for entry in audit.recent.iter() {
            assert_eq!(entry.link, entry.link_after(link));
            let forged = AuditEntry { actor: "mallory".to_owned(), ..(**entry).clone() };
            assert_ne!(entry.link, forged.link_after(link));
            link = entry.link;
        }
        assert_eq!(audit.head, link);
    }
}
