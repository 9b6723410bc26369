//! The state as bytes: what a snapshot carries, and what the state digest is taken over.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::Arc,
};

use identity::{ClusterId, Digest, Fingerprint, MemberRecord, NodeId};
use ring::digest::{Context, SHA256};
use serde::{Deserialize, Serialize};

use super::{
    Aborted, Answered, AuditEntry, Epoch, LogId, RemovedMember, RevisionInfo, State,
    audit::{Audit, digest_of},
    policies,
};
use crate::{
    codec::{self, CodecError},
    command::TokenRecord,
};

/// The layout of [`Image`]. A new field is a new number, and the old layout is still read.
const LAYOUT: u32 = 1;

/// Why bytes are not a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ImageError {
    /// The bytes do not decode.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// The bytes are of another version of this program.
    #[error(
        "the state has layout {0}, this version reads layout {LAYOUT}; use the version that wrote it, or a newer one"
    )]
    Layout(u32),
    /// A revision refers to a text that is not there, or that is no document.
    #[error("revision {revision} cannot be read: {reason}")]
    Revision {
        /// The revision.
        revision: u64,
        /// What is wrong with it.
        reason: String,
    },
}

#[derive(Serialize, Deserialize)]
struct Image {
    layout: u32,
    cluster: Option<ClusterId>,
    epoch: u32,
    ca_pem: Arc<str>,
    members: Arc<BTreeMap<NodeId, MemberRecord>>,
    removed: Arc<BTreeMap<NodeId, RemovedMember>>,
    next_node: u64,
    /// Every text once, in the order in which the revisions first have it.
    texts: Vec<Arc<str>>,
    revisions: Vec<RevisionImage>,
    active: Option<Epoch>,
    aborted: Option<Arc<Aborted>>,
    tokens: Arc<BTreeMap<[u8; 16], TokenRecord>>,
    denied: Arc<BTreeSet<Fingerprint>>,
    applied: Option<LogId>,
    audit_head: Digest,
    audit_sequence: u64,
    audit: Vec<Arc<AuditEntry>>,
    requests: Vec<Answered>,
}

#[derive(Serialize, Deserialize)]
struct RevisionImage {
    number: u64,
    digest: Digest,
    actor: String,
    at_ms: u64,
    message: String,
    index: u64,
    rollback_of: Option<u64>,
    added_bytes: u64,
    /// Positions in [`Image::texts`].
    texts: Vec<u32>,
}

impl State {
    /// The state as bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, ImageError> {
        Ok(codec::encode_within::<_, { codec::STATE_BYTES_MAX }>(Vec::new(), &self.image())?)
    }

    /// The state of these bytes.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, ImageError> {
        let image: Image = codec::decode_within::<_, { codec::STATE_BYTES_MAX }>(bytes)?;
        if image.layout != LAYOUT {
            return Err(ImageError::Layout(image.layout));
        }
        image.into_state()
    }

    /// The SHA-256 of the state: equal on every node at the same [`State::applied`] (G5).
    #[must_use]
    pub fn digest(&self) -> Digest {
        digest_over(&self.image())
    }

    fn image(&self) -> Image {
        let (texts, revisions) = intern(self.revisions.iter());
        Image {
            layout: LAYOUT,
            cluster: self.cluster,
            epoch: self.epoch,
            ca_pem: Arc::clone(&self.ca_pem),
            members: Arc::clone(&self.members),
            removed: Arc::clone(&self.removed),
            next_node: self.next_node,
            texts,
            revisions,
            active: self.active,
            aborted: self.aborted.clone(),
            tokens: Arc::clone(&self.tokens),
            denied: Arc::clone(&self.denied),
            applied: self.applied,
            audit_head: self.audit.head,
            audit_sequence: self.audit.sequence,
            audit: self.audit.recent.iter().cloned().collect(),
            requests: self.requests.iter().copied().collect(),
        }
    }
}

/// The SHA-256 over a part of the state as bytes.
pub(super) fn digest_over<T: Serialize>(part: &T) -> Digest {
    let mut hash = Hasher(Context::new(&SHA256));
    codec::write(&mut hash, part).expect("a state encodes, and hashing does not fail");
    digest_of(hash.0)
}

/// Takes the digest of what is written to it.
struct Hasher(Context);

impl std::io::Write for Hasher {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The texts of some revisions, each once, and the revisions by positions in them.
fn intern<'a>(revisions: impl Iterator<Item = &'a Arc<RevisionInfo>>) -> (Vec<Arc<str>>, Vec<RevisionImage>) {
    let mut texts: Vec<Arc<str>> = Vec::new();
    let mut known: HashMap<Arc<str>, u32> = HashMap::new();
    let mut position = |text: &Arc<str>| {
        *known.entry(Arc::clone(text)).or_insert_with(|| {
            texts.push(Arc::clone(text));
            u32::try_from(texts.len() - 1).unwrap_or(u32::MAX)
        })
    };
    let images = revisions
        .map(|revision| RevisionImage {
            number: revision.number,
            digest: revision.digest,
            actor: revision.actor.clone(),
            at_ms: revision.at_ms,
            message: revision.message.clone(),
            index: revision.index,
            rollback_of: revision.rollback_of,
            added_bytes: revision.added_bytes as u64,
            texts: revision.texts.iter().map(&mut position).collect(),
        })
        .collect();
    (texts, images)
}

impl RevisionImage {
    fn into_revision(self, texts: &[Arc<str>]) -> Result<RevisionInfo, ImageError> {
        let number = self.number;
        let lost = || ImageError::Revision { revision: number, reason: "a document is missing".to_owned() };
        let find = |position: u32| texts.get(position as usize).cloned().ok_or_else(lost);
        Ok(RevisionInfo {
            number,
            digest: self.digest,
            actor: self.actor,
            at_ms: self.at_ms,
            message: self.message,
            index: self.index,
            rollback_of: self.rollback_of,
            added_bytes: usize::try_from(self.added_bytes).unwrap_or(usize::MAX),
            texts: self.texts.into_iter().map(find).collect::<Result<_, _>>()?,
        })
    }
}

impl Image {
    fn into_state(self) -> Result<State, ImageError> {
        let texts = self.texts;
        let revisions = self
            .revisions
            .into_iter()
            .map(|revision| revision.into_revision(&texts).map(Arc::new))
            .collect::<Result<VecDeque<_>, _>>()?;
        let documents = match revisions.back() {
            Some(newest) => newest
                .texts
                .iter()
                .map(|text| policies::parse(text))
                .collect::<Result<Vec<_>, _>>()
                .map_err(|reason| ImageError::Revision { revision: newest.number, reason })?,
            None => Vec::new(),
        };
        Ok(State {
            cluster: self.cluster,
            epoch: self.epoch,
            ca_pem: self.ca_pem,
            members: self.members,
            removed: self.removed,
            next_node: self.next_node,
            documents: Arc::new(documents),
            revisions: Arc::new(revisions),
            active: self.active,
            aborted: self.aborted,
            tokens: self.tokens,
            denied: self.denied,
            applied: self.applied,
            audit: Audit {
                head: self.audit_head,
                sequence: self.audit_sequence,
                recent: self.audit.into_iter().collect(),
            },
            requests: self.requests.into_iter().collect(),
        })
    }
}
